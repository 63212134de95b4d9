from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sipbridge.cluster import claims, lease, open_calls, replication, rescue_journal, takeover, witnesses
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.redis.server import Server
from tests.harness.programs.redis import RedisServer


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a Redis that is slow because the machine is busy."""
    for module in (claims, lease, open_calls, replication, rescue_journal, takeover, witnesses):
        for name in ("REDIS_SECONDS", "CLAIM_SECONDS", "BEGIN_SECONDS", "READ_SECONDS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 30.0)


@pytest.fixture
async def server(redis: RedisServer) -> AsyncIterator[Server]:
    opened = Server(RedisUrl.parse(redis.url))
    yield opened
    await opened.close()
