"""The customer of `make demo-chat`: writes to the bot's WebSocket as its page does, and reads what it shows."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from sipbridge.trial_call.timeline import Step

CUSTOMER, WIDGET = "customer", "widget"
WAIT_SECONDS = 10.0

Frame = dict[str, Any]


class Customer:
    """One customer with the page open; actions and observations go to `steps`."""

    def __init__(self, socket: ClientWebSocketResponse, steps: list[Step]) -> None:
        self._socket = socket
        self._steps = steps

    async def write(self, name: str, text: str) -> None:
        """Send a message."""
        self._note(name, CUSTOMER, f"→ “{text}”")
        await self._socket.send_json({"type": "message", "id": secrets.token_hex(16), "text": text})

    async def begin_typing(self, name: str) -> None:
        """Type the first character of a message."""
        self._note(name, CUSTOMER, "→ types …")
        await self._socket.send_json({"type": "typing", "state": "started"})

    async def read(self, name: str, speaker: str, text: str, *links: str) -> None:
        """Wait until the widget shows a message that begins with a text. Raises `TimeoutError`."""

        def arrived(frame: Frame) -> bool:
            return any(
                (entry["from"], [each["url"] for each in entry["links"]]) == (speaker, list(links))
                and entry["text"].startswith(text)
                for entry in _entries(frame)
            )

        entry = _entries(await self._until(arrived, f"“{text}” from the {speaker}"))[-1]
        details = tuple(("link", link["url"]) for link in entry["links"])
        self._note(name, CUSTOMER, f"← {entry['name']}: “{entry['text']}”", details)

    async def see(self, name: str, key: str, text: str) -> None:
        """Wait until the widget shows a `status`, or who is `typing`. Raises `TimeoutError`."""
        await self._until(lambda frame: frame.get("state", {}).get(key) == text, f"the {key} “{text}”")
        self._note(name, WIDGET, f"shows: {text}{' is typing' if key == 'typing' else ''}")

    async def _until(self, condition: Callable[[Frame], bool], what: str) -> Frame:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    frame: Frame = await self._socket.receive_json()
                    if condition(frame):
                        return frame
        except TimeoutError:
            raise TimeoutError(f"the widget did not show {what} within {WAIT_SECONDS:g} s") from None

    def _note(self, name: str, who: str, text: str, details: tuple[tuple[str, str], ...] = ()) -> None:
        self._steps.append(Step(datetime.now(UTC).astimezone(), name, who, text, details))


def _entries(frame: Frame) -> list[dict[str, Any]]:
    """Return the messages in a frame: one, or all so far when the page opens."""
    return [frame["entry"]] if "entry" in frame else list(frame.get("history", ()))


@asynccontextmanager
async def customer(url: str, steps: list[Step]) -> AsyncIterator[Customer]:
    """Open the page of the bot at a URL."""
    async with (
        ClientSession(url) as http,
        http.ws_connect(f"/chat/{secrets.token_hex(16)}") as socket,
    ):
        yield Customer(socket, steps)
