"""A caller, a SIP agent's legs one after another, and the agent's project."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from sipbridge.agents.sip import SipAgent
from sipbridge.calls.model import Identity
from sipbridge.calls.ports import Agent, Dialler, Headers, ReferHandler
from sipbridge.config import HandoffConfig, SipAgentConfig
from sipbridge.errors import DialFailed
from sipbridge.telephony.credentials import Credentials
from tests.fakes import FakeLeg, Journal

IDENTITY = Identity("call-1", "sip-id", "acme", "billing", "123", "456", "+15550100", "+19995550001", {"X-Lang": "en"})
DESTINATIONS = ("care", "sales", "Über uns")
HANDOFF = HandoffConfig.model_validate(
    {
        "default": "care",
        "destinations": {name: {"method": "release"} for name in DESTINATIONS},
        "allowed_routes": ["sip:*@127.0.0.1*"],
    }
)


class LineOfLegs:
    """Implements `Dialler`: a new leg each time, `agent1` and so on; where a test says so, none."""

    def __init__(self, journal: Journal) -> None:
        self.legs: list[FakeLeg] = []
        self.dialled: list[tuple[str, Headers, str]] = []
        self.attempts: list[tuple[str, str, Credentials | None]] = []
        self.targets: dict[str, list[str]] = {}
        self.failing: dict[str, DialFailed] = {}
        self._journal = journal

    async def locate(self, uri: str) -> list[str]:
        return self.targets.get(uri, ["udp://127.0.0.1:5060"])

    async def dial(
        self,
        uri: str,
        target: str,
        headers: Headers,
        caller: str,
        *,
        sources: Sequence[str] = (),
        credentials: Credentials | None = None,
        refer_handler: ReferHandler | None = None,
    ) -> FakeLeg:
        self.dialled.append((uri, headers, caller))
        self.attempts.append((uri, target, credentials))
        self.sources = sources
        name = f"agent{len(self.dialled)}"
        leg = FakeLeg(self._journal, name)
        leg.refer_handler = refer_handler
        await self._journal.reach(f"{name}.dial")
        if uri in self.failing:
            raise self.failing[uri]
        self.legs.append(leg)
        self._journal.note(f"{name}.dialled")
        return leg


class Scene:
    """One caller, and the agent under test. Make it on the event loop."""

    def __init__(self, **config: object) -> None:
        self.journal = Journal()
        self.caller = FakeLeg(self.journal)
        self.line = LineOfLegs(self.journal)
        settings = {"type": "sip", "uri": "sip:bot@127.0.0.1:5090", **config}
        self.agent = SipAgent(SipAgentConfig.model_validate(settings), self.line, HANDOFF)

    async def leg(self, number: int = 1) -> FakeLeg:
        """The agent's leg of that number, once it was dialled."""
        await self.journal.until(f"agent{number}.dialled")
        return self.line.legs[number - 1]


async def soon(awaited: Awaitable[object]) -> None:
    """Fail rather than wait for ever."""
    await asyncio.wait_for(awaited, 5)


def _implements(agent: SipAgent, line: LineOfLegs) -> tuple[Agent, Dialler]:
    return agent, line
