from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sipbridge.web.server import connections
from tests.web.conftest import Bridge
from tests.web.server.raw_client import RawClient


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SWEEP_SECONDS", 0.02)


@pytest.fixture
async def client(short_timeouts: None, bridge: Bridge) -> AsyncIterator[RawClient]:  # noqa: ARG001 (before the bridge starts)
    client = RawClient(bridge)
    yield client
    await client.close()
