"""The human agents of `make demo-chat`, at the desk of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sipbridge.trial_call.timeline import CXONE, Step
from tests.harness.cxone.desk import Desk

WAIT_SECONDS = 10.0


class HumanAgent:
    """One human agent, who serves the one chat at the desk; actions and observations go to `steps`."""

    def __init__(self, desk: Desk, agent: int, name: str, steps: list[Step]) -> None:
        self.name = name
        self._desk = desk
        self._agent = agent
        self._steps = steps

    def find_chat(self, name: str) -> None:
        """Wait until a chat waits in the queue."""
        chat = self._only(state="waiting")
        [first] = self._desk.messages(chat["id"], wait_for=1)
        details = tuple(("", line) for line in first["text"].splitlines())
        text = f"contact {chat['id']} waits in the queue, with the conversation so far as its first message"
        self._steps.append(Step(_time(chat["opened_at"]), name, CXONE, text, details))

    def accept(self, name: str) -> None:
        """Accept the chat."""
        self._note(name, "accepts")
        self._desk.accept(self._chat, self._agent)

    def begin_typing(self, name: str) -> None:
        """Type the first character of a message."""
        self._note(name, "→ types …")
        self._desk.act(self._chat, "typing", state="started")

    def write(self, name: str, text: str, attachments: Sequence[dict[str, str]] = ()) -> None:
        """Send a message."""
        files = "".join(f" with {file['name']}" for file in attachments)
        self._note(name, f"→ “{text}”{files}")
        self._desk.say(self._chat, text, attachments=list(attachments))

    def read(self, name: str, text: str) -> None:
        """Wait for a message of the customer. Raises `TimeoutError`."""
        found = self._only(contains=text)
        message = next(each for each in self._desk.messages(found["id"]) if each["text"] == text)
        self._note(name, f"← “{text}”", at=_time(message["at"]))

    def see_typing(self, name: str) -> None:
        """Wait until the customer types. Raises `TimeoutError`."""
        self._only(customer_typing="true")
        self._note(name, "sees that the customer is typing")

    def transfer(self, name: str, other: HumanAgent) -> None:
        """Transfer the chat through the queue: for half a second it has no human agent."""
        self._note(name, f"transfers to {other.name}")
        self._desk.act(self._chat, "transfer", to=other._agent, via_queue=True, seconds=0.5)

    def close(self, name: str) -> None:
        """Close the chat."""
        self._note(name, "closes the chat")
        self._desk.close(self._chat)

    @property
    def _chat(self) -> str:
        return str(self._only()["id"])

    def _only(self, **filters: object) -> dict[str, Any]:
        found = self._desk.chats(wait_for=1, seconds=WAIT_SECONDS, **filters)
        if not found:
            raise TimeoutError(f"no chat at the desk with {filters} within {WAIT_SECONDS:g} s")
        return found[0]

    def _note(self, name: str, text: str, at: datetime | None = None) -> None:
        self._steps.append(Step(at or datetime.now(UTC).astimezone(), name, self.name, text))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()
