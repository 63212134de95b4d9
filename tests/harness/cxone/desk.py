"""The chat side of the simulator, for tests and demonstrations (docs/simulator-chat.md)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.harness.web.http import fetch

_MARGIN_SECONDS = 5  # beyond the time that a request waits at the simulator


class Desk:
    """The human agents of a simulator. A request that is refused raises `ValueError` with the reason."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/simulator"

    def chats(self, *, wait_for: int = 0, seconds: float = 10, **filters: object) -> list[dict[str, Any]]:
        """Return the conversations that match, once there are `wait_for` or the time is over."""
        found: list[dict[str, Any]] = self._list("desk/conversations", wait_for, seconds, filters)["conversations"]
        return found

    def chat(self, *, seconds: float = 10, **filters: object) -> str:
        """Return the id of the one conversation that matches, once there is one."""
        found = self.chats(wait_for=1, seconds=seconds, **filters)
        if len(found) != 1:
            raise ValueError(f"{len(found)} conversations match {filters}")
        return str(found[0]["id"])

    def messages(self, chat: str, *, wait_for: int = 0, seconds: float = 10, **filters: object) -> list[dict[str, Any]]:
        """Return the messages of a conversation that match, once there are `wait_for` or the time is over."""
        path = f"desk/conversations/{chat}/messages"
        found: list[dict[str, Any]] = self._list(path, wait_for, seconds, filters)["messages"]
        return found

    def act(self, chat: str, action: str, **body: object) -> dict[str, Any]:
        """Carry out an action: accept, typing, messages, transfer, leave, status, close, mark."""
        found: dict[str, Any] = self._request("POST", f"desk/conversations/{chat}/{action}", body)
        return found

    def accept(self, chat: str, agent: int = 101) -> None:
        """Accept a conversation."""
        self.act(chat, "accept", agent=agent)

    def say(self, chat: str, text: str, **more: object) -> str:
        """Send a text and return the id of the message."""
        return str(self.act(chat, "messages", text=text, **more)["id"])

    def close(self, chat: str) -> None:
        """Close a conversation."""
        self.act(chat, "close")

    def automate(self, **behaviour: object) -> None:
        """Add automatic agents for the conversations that open from now on."""
        self._request("POST", "desk/automatic", behaviour)

    def fail(self, on: str, **fault: object) -> None:
        """Queue a fault of the socket."""
        self._request("POST", "digital/faults", {"on": on, **fault})

    def drop(self, **which: object) -> int:
        """Cut the open sockets; return their number."""
        return int(self._request("POST", "digital/drop", which)["dropped"])

    def push(self, **what: object) -> None:
        """Send a frame (`frame`) or a text (`raw`) to one `customer` or to all."""
        self._request("POST", "digital/push", what)

    def expire_tokens(self) -> None:
        """Make all tokens of sessions invalid."""
        self._request("POST", "digital/expire_tokens")

    def reset(self) -> None:
        """Remove faults of the socket and automatic agents."""
        for path in ("digital/faults", "desk/automatic"):
            self._request("DELETE", path)

    def put_channel(self, channel: str, **settings: object) -> None:
        """Create or replace a channel."""
        self._request("PUT", f"digital/channels/{channel}", settings)

    def change_settings(self, **settings: object) -> None:
        """Change settings of the gateway."""
        self._request("PATCH", "digital/settings", settings)

    def change_channel(self, channel: str, **settings: object) -> None:
        """Change settings of a channel."""
        self._request("PATCH", f"digital/channels/{channel}", settings)

    def frames(self, *, wait_for: int = 0, seconds: float = 10, **filters: object) -> list[dict[str, Any]]:
        """Return the received frames that match, once there are `wait_for` or the time is over."""
        found: list[dict[str, Any]] = self._list("digital/frames", wait_for, seconds, filters)["frames"]
        return found

    def connections(self) -> list[dict[str, Any]]:
        """Return the open sockets."""
        found: list[dict[str, Any]] = self._request("GET", "digital/connections")["connections"]
        return found

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of each received event by result."""
        found: dict[str, dict[str, int]] = self._request("GET", "digital/counts")
        return found

    def change_byoc(self, channel: str, **settings: object) -> None:
        """Change settings of a bring-your-own channel."""
        self._request("PATCH", f"byoc/channels/{channel}", settings)

    def change_byoc_settings(self, **settings: object) -> None:
        """Change settings of all bring-your-own channels."""
        self._request("PATCH", "byoc/settings", settings)

    def calls(self, *, wait_for: int = 0, seconds: float = 10, **filters: object) -> list[dict[str, Any]]:
        """Return the calls to boxes that match, once there are `wait_for` or the time is over."""
        found: list[dict[str, Any]] = self._list("byoc/calls", wait_for, seconds, filters)["calls"]
        return found

    def add_file(self, content: str, name: str, media_type: str = "text/plain") -> str:
        """Store a file of a human agent, the text as JSON; return its URL for `attachments`."""
        query = urlencode({"name": name, "media_type": media_type})
        return str(self._request("POST", f"byoc/files?{query}", content)["url"])

    def change_patron(self, **settings: object) -> None:
        """Change settings of patron chat."""
        self._request("PATCH", "patron/settings", settings)

    def change_point(self, point: str, **settings: object) -> None:
        """Change settings of a point of contact."""
        self._request("PATCH", f"patron/points/{point}", settings)

    def expire_patron(self, chat: str) -> None:
        """End a patron chat as its age does."""
        self._request("POST", f"patron/chats/{chat}/expire")

    def make_stale(self, chat: str) -> None:
        """Change the session id of a patron chat without the client's knowledge."""
        self._request("POST", f"patron/chats/{chat}/stale")

    def _list(self, path: str, wait_for: int, seconds: float, filters: dict[str, object]) -> Any:  # noqa: ANN401 (JSON)
        query = urlencode({**filters, "wait_for": wait_for, "timeout": seconds})
        return self._request("GET", f"{path}?{query}", seconds=seconds)

    def _request(self, method: str, path: str, body: object = None, *, seconds: float = 10) -> Any:  # noqa: ANN401 (JSON)
        answer = fetch(f"{self._url}/{path}", method, body=body, timeout_seconds=seconds + _MARGIN_SECONDS)
        if answer.status not in (200, 201, 204):
            raise ValueError(answer.body.decode())
        return answer.json() if answer.body else None
