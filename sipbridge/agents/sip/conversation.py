"""The conversation of a caller with a SIP agent."""

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
from sipbridge.calls.ports.agents import ConversationEnd
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg
from sipbridge.errors import AgentLost, LegEnded
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.handoffs.request import HandoffRequest

# The longest wait for the SIP thread to send our BYE.
CLOSE_SECONDS = 1.0


class SipConversation:
    """Implements `calls.ports.Conversation`: a caller's leg and an agent's, joined. No audio passes through Python.

    `release` hangs a leg up in the background. `silence_timeout_seconds` is None if the agent may be silent. The agent
    does not get the caller's `withheld_digit`.
    """

    def __init__(
        self,
        leg: Leg,
        agent_leg: Leg,
        referrals: Referrals,
        release: Callable[[Leg], asyncio.Future[None]],
        silence_timeout_seconds: float | None,
        withheld_digit: str | None = None,
    ) -> None:
        self._leg = leg
        self._agent_leg = agent_leg
        self._referrals = referrals
        self._release = release
        self._silence_timeout = silence_timeout_seconds
        self._withheld_digit = withheld_digit
        self._talking = False
        self._answered_at = time.monotonic()

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Run until the agent's leg ends. Raises `AgentLost` if that is not by BYE or the agent is silent too long."""
        self._talking = True
        try:
            with suppress(LegEnded):
                self._agent_leg.on_digit(self._relay)
            self._referrals.begin(call)
            await self._wait_for_agent_end()
            end = self._agent_leg.ended.result()
            if not has_served(end, end.at - self._answered_at, self._referrals):
                raise AgentLost("it answered and hung up and had sent no audio")
            return _read_end(end, call)
        finally:
            # A muted agent is parted already, and its caller may be joined to a destination.
            if self._talking:
                self._talking = False
                await self._leg.part()

    async def finish_speaking(self) -> None:
        """Return when the agent pauses or its leg has ended."""
        with suppress(LegEnded):
            await self._agent_leg.wait_for_silence()

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit to the agent."""
        with suppress(LegEnded):
            self._agent_leg.send_digit(digit)

    async def mute(self, _handoff: HandoffRecord) -> bool:
        """Part the two legs; the agent's goes on."""
        if self._agent_leg.ended.done():
            return False
        self._talking = False
        await self._leg.part()
        return True

    async def unmute(self) -> None:
        """Join the two legs again."""
        await self._leg.join(self._agent_leg, self._withheld_digit)
        self._talking = True

    def report(self, handoff: HandoffRecord) -> None:
        """Send the final NOTIFY of a pending REFER. Without one, SIP has no message for it."""
        self._referrals.report(handoff)

    async def close(self, handoff: HandoffRecord | None) -> None:
        """Send the final NOTIFY of a pending REFER, then BYE. The SIP thread sends them in this order."""
        self._referrals.finish(handoff)
        await wait_any(self._release(self._agent_leg), timeout=CLOSE_SECONDS)

    def _relay(self, digit: str) -> None:
        if self._talking:
            with suppress(LegEnded):
                self._leg.send_digit(digit)

    async def _wait_for_agent_end(self) -> None:
        """Return when the agent's leg has ended. Raises `AgentLost` if it sends no RTP for too long."""
        if self._silence_timeout is None:
            await wait_any(self._agent_leg.ended)
        elif await media_timed_out(self._agent_leg, self._silence_timeout, from_the_start=True):
            raise AgentLost("silent: no RTP from it")


def has_served(end: LegEnd, seconds: float, referrals: Referrals) -> bool:
    """Return False if the agent sent BYE `seconds` after its answer without having served the call."""
    asked = referrals.asked or asks_for_handoff(end.headers)
    return not end.by_peer or took_call(seconds, spoke=end.heard, asked=asked, could_speak=end.audio_due)


def _read_end(end: LegEnd, call: LiveCall) -> ConversationEnd:
    """Return the end of the conversation that the end of the agent's leg means. Raises `AgentLost`."""
    if not end.by_peer:
        raise AgentLost(f"its leg ended with SIP status {end.sip_status}, {end.failure or 'by us'}")
    if not asks_for_handoff(end.headers):
        return ConversationEnd(None)
    try:
        return ConversationEnd(read_bye(end.headers))
    except ValueError as error:
        # The agent has left and wanted a human agent for the caller: the default destination applies.
        call.note_fault("bad_handoff", str(error))
        return ConversationEnd(HandoffRequest(reason="invalid_handoff"))
