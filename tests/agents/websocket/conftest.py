from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from .support import AgentServer, Site, agent_server, make_certificates


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use the event loop of the real program: transports differ."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def no_unhandled_errors() -> AsyncIterator[None]:
    """Fail if an error reaches the exception handler of the event loop."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    yield
    assert unhandled == []


@pytest.fixture
async def server(no_unhandled_errors: None) -> AsyncIterator[AgentServer]:  # noqa: ARG001 (watches)
    async with agent_server() as listening:
        yield listening


@pytest.fixture
async def site(server: AgentServer) -> AsyncIterator[Site]:
    site = Site(server)
    yield site
    await site.clean_up()
