from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipbridge.simulators.cxone import make_app
from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_api import DESK
from sipbridge.simulators.cxone.digital.messages import Customer


@pytest.fixture
def announced() -> list[str]:
    """The lines that the simulator printed."""
    return []


@pytest.fixture
def app(announced: list[str]) -> web.Application:
    """The simulator."""
    return make_app(announce=announced.append)


@pytest.fixture
async def http(app: web.Application) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client whose base URL is the running simulator."""
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


@pytest.fixture
def desk(app: web.Application) -> Desk:
    """The desk of the simulator."""
    return app[DESK]


@pytest.fixture
def chat(desk: Desk) -> Conversation:
    """A waiting conversation."""
    return desk.open("dfo", channel="web", thread_id="thread-1", customer=Customer("customer-1", "Grace", "Hopper"))
