from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator

from .agent_site import AgentSite, agent_site
from .chat_site import ChatSite, chat_site
from .site import Site, site
from .websocket_site import WebsocketSite, websocket_site


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), cxone) as running:
        yield running


@pytest.fixture
def trunk(shared_site: Site) -> Iterator[Site]:
    """The bridge that most tests share; no test may leave a call in progress."""
    yield shared_site
    shared_site.end_calls()
    shared_site.bridge.wait_until_idle()


@pytest.fixture(scope="session")
def shared_sip(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AgentSite]:
    with agent_site(tmp_path_factory.mktemp("sip"), cxone) as running:
        yield running


@pytest.fixture
def sip(shared_sip: AgentSite) -> Iterator[AgentSite]:
    """The bridge that most tests of SIP agents share; no test may leave a call in progress."""
    yield shared_sip
    shared_sip.trunk.end_calls()
    shared_sip.trunk.bridge.wait_until_idle()


@pytest.fixture
def own_sip(tmp_path: Path, cxone: Simulator) -> Iterator[AgentSite]:
    """A bridge for one test: requests that an agent left unanswered would reach the next agent on its port."""
    with agent_site(tmp_path, cxone) as running:
        yield running


@pytest.fixture(scope="session")
def shared_websocket(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[WebsocketSite]:
    with websocket_site(tmp_path_factory.mktemp("websocket"), cxone) as running:
        yield running


@pytest.fixture
def websocket(shared_websocket: WebsocketSite) -> Iterator[WebsocketSite]:
    """The bridge that most tests of WebSocket agents share; no test may leave a call in progress."""
    yield shared_websocket
    shared_websocket.trunk.bridge.wait_until_idle()


@pytest.fixture(scope="session")
def shared_chats(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[ChatSite]:
    with chat_site(tmp_path_factory.mktemp("chats"), cxone) as running:
        yield running


@pytest.fixture
def chats(shared_chats: ChatSite) -> Iterator[ChatSite]:
    """The bridge that most tests of chats share; no test leaves a chat in progress."""
    yield shared_chats
    shared_chats.clear()
