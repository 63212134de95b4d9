"""Helpers for tests of `sipbridge.cxone`: a simulator, a fake clock, a recorder of events."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from sipbridge.calls.events import CallEvent, TokenRequested
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.config import CxoneConfig
from sipbridge.handoffs.outcome import Result
from sipbridge.simulators.cxone import DEMO_TENANT, Tenant


class Clock:
    """A monotonic clock that only `advance` moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Recorder:
    """An `Observer` that records events."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: CallEvent, /) -> None:
        self.events.append(event)
        self._changed.set()

    def token_results(self) -> list[Result]:
        return [event.result for event in self.events if isinstance(event, TokenRequested)]

    async def until(self, count: int) -> None:
        while len(self.events) < count:
            self._changed.clear()
            await self._changed.wait()


async def ignore_note(_: SignalResult) -> None:
    """A `SignalNote` that does nothing."""


class Simulator:
    """A client of the simulator's own endpoints."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def fault(self, endpoint: str, **what: object) -> None:
        body = io.BytesIO(orjson.dumps({"endpoint": endpoint, **what}))
        async with self._session.post(f"{self.url}/simulator/faults", data=body) as response:
            assert response.status == 201, await response.text()

    async def clear_faults(self) -> None:
        async with self._session.delete(f"{self.url}/simulator/faults") as response:
            assert response.status == 204

    async def signals(self, **query: str) -> list[dict[str, Any]]:
        async with self._session.get(f"{self.url}/simulator/signals", params=query) as response:
            found: list[dict[str, Any]] = (await response.json())["signals"]
            return found

    async def transcripts(self) -> list[dict[str, Any]]:
        async with self._session.get(f"{self.url}/simulator/transcripts") as response:
            found: list[dict[str, Any]] = (await response.json())["transcripts"]
            return found

    async def requests(self, endpoint: str) -> dict[str, int]:
        """Return how often that endpoint gave each response."""
        async with self._session.get(f"{self.url}/simulator/requests") as response:
            counts: dict[str, int] = (await response.json()).get(endpoint, {})
            return counts


def config_for(issuer: str, tenant: Tenant = DEMO_TENANT, **changes: object) -> CxoneConfig:
    """Return the configuration for a tenant of the simulator."""
    fitting = {
        "issuer": issuer,
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "access_key_id": tenant.access_key_id,
        "access_key_secret": tenant.access_key_secret,
        "business_unit": tenant.business_unit,
    }
    return CxoneConfig.model_validate(fitting | changes)


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Run a server that accepts connections and never responds; yield its address."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
