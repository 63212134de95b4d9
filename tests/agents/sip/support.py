"""A caller, the legs of a SIP agent, and the agent's project."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from sipbridge.agents.sip import SipAgent
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.agents import Agent
from sipbridge.config import HandoffConfig, SipAgentConfig
from sipbridge.errors import DialFailed
from tests.fakes import FakeDialler, FakeLeg, Journal, OutgoingInvite

IDENTITY = Identity("call-1", "sip-id", "acme", "billing", "123", "456", "+15550100", "+19995550001", {"X-Lang": "en"})
DESTINATIONS = ("care", "sales", "Über uns")
HANDOFF = HandoffConfig.model_validate(
    {
        "default": "care",
        "destinations": {name: {"method": "release"} for name in DESTINATIONS},
        "allowed_routes": ["sip:*@127.0.0.1*"],
        "dtmf_key": "0",
    }
)


class MultiLegDialler(FakeDialler):
    """A dialler that makes a new leg for each INVITE: `agent1` and so on. URIs in `failing` get none."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(self._next_leg)
        self.legs: list[FakeLeg] = []
        self.failing: dict[str, DialFailed] = {}
        self._journal = journal

    async def _next_leg(self, invite: OutgoingInvite) -> FakeLeg:
        name = f"agent{len(self.invites)}"
        leg = FakeLeg(self._journal, name)
        await self._journal.reach(f"{name}.dial")
        if invite.uri in self.failing:
            raise self.failing[invite.uri]
        self.legs.append(leg)
        self._journal.note(f"{name}.dialled")
        return leg


class World:
    """One caller, and the agent under test. Make it on the event loop."""

    def __init__(self, **config: object) -> None:
        self.journal = Journal()
        self.caller = FakeLeg(self.journal)
        self.dialler = MultiLegDialler(self.journal)
        settings = {"type": "sip", "uri": "sip:bot@127.0.0.1:5090", **config}
        self.agent = SipAgent(SipAgentConfig.model_validate(settings), self.dialler, HANDOFF)

    async def leg(self, number: int = 1) -> FakeLeg:
        """Return the agent's leg of that number once it was dialled."""
        await self.journal.until(f"agent{number}.dialled")
        return self.dialler.legs[number - 1]


async def soon(awaited: Awaitable[object]) -> None:
    """Fail instead of waiting forever."""
    await asyncio.wait_for(awaited, 5)


def _implements(agent: SipAgent) -> Agent:
    return agent
