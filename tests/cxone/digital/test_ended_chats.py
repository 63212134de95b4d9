"""The garbage collector runs seldom, and audio waits while it does: a chat must leave nothing for it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sipbridge.chats.chat import Chat
from sipbridge.chats.happenings import Inbox
from sipbridge.cxone.digital.byoc import session as byoc_session
from sipbridge.cxone.digital.byoc.agent_messages import AgentMessages
from sipbridge.cxone.digital.byoc.session import ByocSession
from sipbridge.cxone.digital.dfo import session as dfo_session
from sipbridge.cxone.digital.dfo.connection import Connection
from sipbridge.cxone.digital.dfo.inbound import Inbound
from sipbridge.cxone.digital.dfo.session import DfoSession
from sipbridge.cxone.digital.patron.connection import PatronConnection
from sipbridge.cxone.digital.patron.session import PatronSession
from sipbridge.cxone.digital.typing import Typing
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, LIVECHAT
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault
from sipbridge.simulators.cxone.digital.gateway.sockets import GATEWAY
from tests.cxone.digital.byoc.conftest import CHANNEL as BYOC
from tests.cxone.digital.patron.conftest import CHANNEL as PATRON
from tests.cxone.digital.runs import run, site

DFO = {
    "type": "dfo",
    "brand_id": BRAND_ID,
    "channel_id": LIVECHAT.id,
    "gateway_url": "ws://{host}",
    "rest_url": "{url}",
    "oauth_url": "{url}",
}
PARTS = (
    *(Chat, Inbox, Typing),
    *(DfoSession, Inbound, Connection),
    *(ByocSession, AgentMessages),
    *(PatronSession, PatronConnection),
)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Counter[str]]]:
    """Return how many parts of chats are in memory, besides those that other tests have left."""
    monkeypatch.setattr(byoc_session, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(dfo_session, "FIRST_PAUSE_SECONDS", 0.01)
    gc.collect()
    gc.disable()
    before = _parts()
    yield lambda: _parts() - before
    gc.enable()


def _parts() -> Counter[str]:
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in PARTS)


@pytest.mark.parametrize("by", ["bot", "agent"])
@pytest.mark.parametrize("channel", [DFO, BYOC, PATRON], ids=lambda channel: channel["type"])
async def test_a_chat_that_has_ended_is_freed(
    tmp_path: Path, in_memory: Callable[[], Counter[str]], channel: dict[str, Any], by: str
) -> None:
    async with site(tmp_path, channel) as cxone, run(cxone) as bridge:
        contact = await bridge.joined()
        bridge.live.set_typing(on=True)
        await bridge.say("Hello", "m1")
        await cxone.texts(contact, 2)
        assert in_memory()["Chat"] == 1
        if by == "bot":
            await bridge.end()
        else:
            contact.set_status("closed", by="agent")
        await bridge.ended()
        await cxone.until(lambda: not in_memory(), f"release of {dict(in_memory())}")


async def test_a_connection_that_was_lost_during_a_request_is_freed(
    tmp_path: Path, in_memory: Callable[[], Counter[str]]
) -> None:
    async with site(tmp_path, DFO) as cxone, run(cxone) as bridge:
        contact = await bridge.joined()
        fault = GatewayFault.model_validate({"on": "event", "type": "SendMessage", "drop": "before_ack"})
        cxone.app[GATEWAY].faults.queued.append(fault)
        await bridge.say("Hello", "m1")
        await bridge.event("message_delivered")
        assert not cxone.app[GATEWAY].faults.queued
        assert len(await cxone.texts(contact, 2)) == 2
        assert in_memory()["Connection"] == 1
