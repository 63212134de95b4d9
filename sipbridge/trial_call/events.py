"""The events of a call from the HTTP API, and its Signals from the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

from sipbridge.errors import SetupError

from .timeline import Event

_CONNECT = aiohttp.ClientTimeout(total=None, connect=5)
_LOOK_SECONDS = 60
_OVERDUE_SECONDS = 5.0


class CallEvents:
    """The events of one contact's call so far. Without an API key there are none."""

    def __init__(self, contact_id: str) -> None:
        self.events: list[Event] = []
        self._contact_id = contact_id
        self._changed = asyncio.Condition()

    async def read(self, response: aiohttp.ClientResponse) -> None:
        """Read the stream until it ends (WHATWG HTML, 9.2)."""
        name = ""
        async for line in response.content:
            field, _, value = line.decode().strip().partition(": ")
            if field == "event":
                name = value
            elif field == "data" and (data := json.loads(value))["contact_id"] == self._contact_id:
                async with self._changed:
                    self.events.append(Event(name, data))
                    self._changed.notify_all()

    async def until(self, *names: str) -> None:
        """Return when there is an event of each name, or they are overdue."""
        try:
            async with asyncio.timeout(_OVERDUE_SECONDS), self._changed:
                await self._changed.wait_for(lambda: set(names) <= {event.name for event in self.events})
        except TimeoutError:
            return

    @property
    def handoff(self) -> dict[str, Any]:
        """The handoff of the last event; empty if there is none."""
        return (self.events[-1].data["handoff"] or {}) if self.events else {}

    @property
    def failure(self) -> str:
        """The result and the reason of a call that has ended without success; empty for any other."""
        for event in self.events:
            if event.name == "call.ended" and event.data["result"] != "success":
                return f"{event.data['result']}, {event.data['reason']}"
        return ""


@asynccontextmanager
async def subscribed(session: aiohttp.ClientSession, url: str, key: str, contact_id: str) -> AsyncIterator[CallEvents]:
    """Follow the events of a contact's call during the block. Raises `SetupError` if the API does not serve them."""
    try:
        response = await session.get(url, headers={"x-api-key": key}, timeout=_CONNECT)
    except aiohttp.ClientError as error:
        raise SetupError(f"the HTTP API is not reached at {url}: {error}; is the bridge running?") from None
    async with response:
        if response.status != HTTPStatus.OK:
            raise SetupError(f"the HTTP API refuses the key with {response.status}; give another with --key")
        events = CallEvents(contact_id)
        reading = asyncio.create_task(events.read(response))
        try:
            yield events
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def signals_of(
    session: aiohttp.ClientSession, simulator: str, contact_id: str, *, wait: bool
) -> list[dict[str, Any]]:
    """Return the Signals that the simulator got for a contact, with `wait` once there is one; none if it is not one."""
    query: dict[str, str | int] = {
        "contact_id": contact_id,
        "wait_for": int(wait),
        "timeout": _LOOK_SECONDS if wait else 0,
    }
    try:
        async with session.get(f"{simulator}/simulator/signals", params=query) as response:
            if response.status != HTTPStatus.OK:
                return []
            found: list[dict[str, Any]] = (await response.json())["signals"]
            return found
    except (aiohttp.ClientError, ValueError, KeyError):
        return []
