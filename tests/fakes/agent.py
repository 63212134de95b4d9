"""Agents that a test controls."""

from __future__ import annotations

import asyncio

from sipbridge.calls.endings import AGENT_ENDED, Ending
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.agents import Agent, Conversation, ConversationEnd
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.fakes.journal import Journal


class FakeConversation:
    """Implements `Conversation`: runs until a test ends it."""

    def __init__(self, journal: Journal) -> None:
        self.finishing: Exception | None = None
        self.call: LiveCall | None = None
        self.pressed = ""
        self.told: list[HandoffRecord | None] = []
        self.stays = True
        self.unmuting: Exception | None = None
        self.reported: list[HandoffRecord] = []
        self._end: asyncio.Future[ConversationEnd] = asyncio.get_running_loop().create_future()
        self._journal = journal

    async def run(self, call: LiveCall) -> ConversationEnd:
        self.call = call
        await self._journal.reach("agent.run")
        try:
            return await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self._journal.note("agent.stopped")
            raise

    async def finish_speaking(self) -> None:
        await self._journal.reach("agent.finish_speaking")
        if self.finishing is not None:
            raise self.finishing

    def send_digit(self, digit: str) -> None:
        self.pressed += digit

    async def mute(self, handoff: HandoffRecord) -> bool:
        assert handoff.state is HandoffState.INITIATED
        await self._journal.reach("agent.mute")
        return self.stays

    async def unmute(self) -> None:
        await self._journal.reach("agent.unmute")
        if self.unmuting is not None:
            raise self.unmuting

    def report(self, handoff: HandoffRecord) -> None:
        self.reported.append(handoff)
        self._journal.note("agent.report")

    async def close(self, handoff: HandoffRecord | None) -> None:
        self.told.append(handoff)
        await self._journal.reach("agent.close")

    # ------------------------------------------------------------ actions of the agent

    def hands_off(self, **request: object) -> None:
        """Hand the caller off."""
        self._end.set_result(ConversationEnd(HandoffRequest.model_validate(request)))

    def ends(self, ending: Ending = AGENT_ENDED) -> None:
        """End the conversation without a handoff."""
        self._end.set_result(ConversationEnd(None, ending))

    def fails(self, error: Exception) -> None:
        """Raise this error in the conversation."""
        self._end.set_exception(error)


class FakeAgent:
    """Implements `Agent`: has one conversation, or fails to connect."""

    def __init__(self, journal: Journal) -> None:
        self.conversation = FakeConversation(journal)
        self.failing: Exception | None = None
        self.connected: list[tuple[Identity, Leg]] = []
        self._journal = journal

    async def connect(self, identity: Identity, leg: Leg) -> FakeConversation:
        self.connected.append((identity, leg))
        await self._journal.reach("agent.connect")
        if self.failing is not None:
            raise self.failing
        return self.conversation


def _implements(agent: FakeAgent, conversation: FakeConversation) -> tuple[Agent, Conversation]:
    return agent, conversation
