"""A SIP agent on the line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from sipbridge.agents.presence import took_call
from sipbridge.agents.sip.handoff_headers import asks_for_handoff, read_bye
from sipbridge.agents.sip.referrals import Referrals
from sipbridge.aio import wait_any
from sipbridge.calls.media_timeout import media_timed_out
from sipbridge.calls.model import LegEnd
from sipbridge.calls.ports import ConversationEnd, Leg, LiveCall
from sipbridge.errors import AgentLost, LegEnded
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.handoffs.request import HandoffRequest

# For the SIP thread to take our BYE; no more of anybody's time.
CLOSE_SECONDS = 1.0


class SipConversation:
    """Implements `calls.ports.Conversation`: a caller's leg and an agent's, joined. No audio passes through Python.

    `let_go` hangs a leg up with nobody waiting; `silence_timeout_seconds` is None where the agent may be silent.
    """

    def __init__(
        self,
        leg: Leg,
        agent_leg: Leg,
        referrals: Referrals,
        let_go: Callable[[Leg], asyncio.Future[None]],
        silence_timeout_seconds: float | None,
    ) -> None:
        self._leg = leg
        self._agent_leg = agent_leg
        self._referrals = referrals
        self._let_go = let_go
        self._silence_timeout = silence_timeout_seconds
        self._talking = False
        self._answered_at = time.monotonic()

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Let the two talk until the agent's leg ends. Raises `AgentLost` where that was no BYE, or at long silence."""
        self._talking = True
        try:
            with suppress(LegEnded):
                self._agent_leg.on_digit(self._relay)
            self._referrals.begin(call)
            await self._agent_gone()
            end = self._agent_leg.ended.result()
            if not was_there(end, end.at - self._answered_at, self._referrals):
                raise AgentLost("it answered and hung up, and has sent no audio")
            return _read_end(end, call)
        finally:
            self._talking = False
            await self._leg.part()

    async def finish_speaking(self) -> None:
        """Return once the agent pauses, or is gone."""
        with suppress(LegEnded):
            await self._agent_leg.fall_silent()

    def press(self, digit: str) -> None:
        """Press a key on the agent's leg."""
        with suppress(LegEnded):
            self._agent_leg.send_digit(digit)

    async def close(self, handoff: HandoffRecord | None) -> None:
        """Send the NOTIFY that a REFER is owed, then BYE. Both keep their order on their way to the SIP thread."""
        self._referrals.finish(handoff)
        await wait_any(self._let_go(self._agent_leg), timeout=CLOSE_SECONDS)

    def _relay(self, digit: str) -> None:
        if self._talking:
            with suppress(LegEnded):
                self._leg.send_digit(digit)

    async def _agent_gone(self) -> None:
        """Return when the agent's leg has ended. Raises `AgentLost` where it sends no RTP for too long."""
        if self._silence_timeout is None:
            await wait_any(self._agent_leg.ended)
        elif await media_timed_out(self._agent_leg, self._silence_timeout, from_the_start=True):
            raise AgentLost("silent: no RTP came from it")


def was_there(end: LegEnd, seconds: float, referrals: Referrals) -> bool:
    """Return False if an agent has sent BYE so many seconds after its answer, and has not taken the call before it."""
    asked = referrals.asked or asks_for_handoff(end.headers)
    return not end.by_peer or took_call(seconds, spoke=end.heard, asked=asked, could_speak=end.audio_due)


def _read_end(end: LegEnd, call: LiveCall) -> ConversationEnd:
    """Say what the end of the agent's leg means."""
    if not end.by_peer:
        raise AgentLost(f"its leg ended with SIP status {end.sip_status}, {end.failure or 'by us'}")
    if not asks_for_handoff(end.headers):
        return ConversationEnd(None)
    try:
        return ConversationEnd(read_bye(end.headers))
    except ValueError as error:
        # It is gone, and wanted a human for the caller: where to is for the project to say.
        call.note_fault("bad_handoff", str(error))
        return ConversationEnd(HandoffRequest(reason="invalid_handoff"))
