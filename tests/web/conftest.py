from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sipbridge.calls.milestones import Reported, milestone_of
from sipbridge.calls.ports.event_log import Position
from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import Config, StoreConfig
from sipbridge.store import open_store
from sipbridge.web import (
    ChatDeps,
    EventFeed,
    EventId,
    EventLog,
    LastHour,
    Nodes,
    Notice,
    PageFeed,
    PopLinks,
    WebDeps,
    make_app,
    start_web,
)

from .fakes import KEY, FakeAdminControls, FakeChats, FakeDirectory, make_config


@dataclass
class Bridge:
    """A running API and its dependencies."""

    config: Config
    store: RecordStore
    session: aiohttp.ClientSession
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    events: EventFeed = field(default_factory=EventFeed)
    pages: PageFeed = field(default_factory=PageFeed)
    last_hour: LastHour = field(default_factory=LastHour)
    nodes: Nodes | None = None
    admin_controls: FakeAdminControls = field(default_factory=FakeAdminControls)
    counted: list[tuple[str, int]] = field(default_factory=list)
    base: str = ""
    obstacle: str | None = None
    fake_chats: FakeChats = field(default_factory=FakeChats)
    chats: ChatDeps = None  # type: ignore[assignment]  # those of `fake_chats` unless a test has others
    reported: int = 0
    metrics: bytes = b"sipbridge_calls_active 0.0\n"
    project = "/v1/acme/billing"

    def __post_init__(self) -> None:
        self.chats = self.chats or self.fake_chats.deps()
        self.pop_links = PopLinks.from_config(self.config.http)

    def deps(self) -> WebDeps:
        return WebDeps(
            config=lambda: self.config,
            directory=self.directory,
            store=self.store,
            metrics_page=lambda: self.metrics,
            readiness=lambda: self.obstacle,
            events=self.events,
            event_log=EventLog(self.store.events, self.chats.store, self.events, self.chats.feed, self.pages),
            pop_links=self.pop_links,
            pages=self.pages,
            last_hour=self.last_hour,
            admin_controls=self.admin_controls,
            count_request=lambda operation, status: self.counted.append((operation, status)),
            chats=self.chats,
            nodes=self.nodes,
        )

    def report(self, event: Reported) -> None:
        """Send the readers an event, as if it came from the log."""
        milestone = milestone_of(event)
        assert milestone
        self.reported += 1
        notice = Notice.of(milestone, EventId(Position(self.reported, 0), milestone.sequence))
        self.events.send(event.record.client, event.record.project, notice)

    async def get(self, path: str, key: str | None = KEY, body: object = None) -> tuple[int, Any]:
        return await self.request("GET", path, key, body)

    async def post(self, path: str, key: str | None = KEY, body: object = None) -> tuple[int, Any]:
        return await self.request("POST", path, key, body)

    async def delete(self, path: str, key: str | None = KEY) -> tuple[int, Any]:
        return await self.request("DELETE", path, key, None)

    async def request(self, method: str, path: str, key: str | None, body: object) -> tuple[int, Any]:
        """Send a request with a body of bytes or JSON; return the status and the JSON response.

        A path without a slash at its start is relative to the project.
        """
        data = io.BytesIO(body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode())
        headers = {"Accept": "application/json"} | ({"x-api-key": key} if key else {})
        async with self.session.request(method, self.url(path), headers=headers, data=data) as response:
            return response.status, await response.json() if await response.read() else None

    def url(self, path: str) -> str:
        return self.base + (path if path.startswith("/") else f"{self.project}/{path}")


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    store = await open_store(StoreConfig(url=f"sqlite:///{tmp_path}/calls.db"))
    async with aiohttp.ClientSession() as session:
        bridge = Bridge(make_config(), store, session)
        runner, (host, port) = await start_web(make_app(bridge.deps()), "127.0.0.1", 0)
        bridge.base = f"http://{host}:{port}"
        yield bridge
    await bridge.fake_chats.reception.suspend()
    await runner.cleanup()
    await store.close()
