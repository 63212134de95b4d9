"""The agent on a SIP URI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sipbridge.agents.sip.conversation import SipConversation, has_served
from sipbridge.agents.sip.invite import invite_headers
from sipbridge.agents.sip.referrals import Referrals
from sipbridge.aio import BackgroundTasks, wait_any
from sipbridge.calls.model import Identity
from sipbridge.calls.outgoing import Attempt, Callee, call_out
from sipbridge.calls.ports.sip import Dialler, Leg
from sipbridge.config import HandoffConfig, SipAgentConfig
from sipbridge.errors import AgentUnavailable, DialFailed, LegEnded
from sipbridge.telephony.sip_status import SipStatus
from sipbridge.telephony.sip_uri import SipUri


class SipAgent:
    """Implements `calls.ports.Agent`: calls the URIs in order until one answers.

    `handoff` limits what a REFER may request. `traced` adds the id of the call's trace to the INVITE.
    """

    def __init__(
        self, config: SipAgentConfig, dialler: Dialler, handoff: HandoffConfig, *, traced: bool = False
    ) -> None:
        self._config = config
        self._traced = traced
        self._dialler = dialler
        self._handoff = handoff
        self._callees = [
            Callee(
                str(SipUri.parse(uri).with_transport(config.transport)),
                config.answer_timeout_seconds,
                handoff.allowed_routes,
                config.credentials,
                tuple(map(str, config.trusted_sources)),
            )
            for uri in config.uri
        ]
        self._background = BackgroundTasks()

    async def connect(self, identity: Identity, leg: Leg) -> SipConversation:
        """Send 180 to the caller, call the agent and join the two legs. Raises `AgentUnavailable` or `LegEnded`."""
        await leg.ring()
        headers = invite_headers(identity, self._config.headers, traced=self._traced)
        why = ""
        for callee in self._callees:
            try:
                return await self._call(callee, headers, identity.caller, leg)
            except DialFailed as error:
                why = f"SIP {error.sip_status}, {error}"
                # End the early media of the failed attempt.
                await leg.part()
        raise AgentUnavailable(f"none of the agent's {len(self._callees)} URIs answered; the last one: {why}")

    async def _call(self, callee: Callee, headers: Mapping[str, str], caller: str, leg: Leg) -> SipConversation:
        """Call the agent at one URI. Raises `DialFailed`. The leg is released on every exception."""

        async def dial(attempt: Attempt) -> SipConversation:
            referrals = Referrals(self._handoff)
            agent_leg = await attempt.dial(headers, caller, referrals)
            referrals.attach(agent_leg)
            try:
                async with attempt.responds_in_time(agent_leg):
                    await self._wait_for_answer(leg, agent_leg)
                _check_presence(agent_leg, referrals)
            except BaseException:
                referrals.finish(None)
                self._release(agent_leg)
                raise
            silence_timeout = self._config.silence_timeout_seconds
            return SipConversation(leg, agent_leg, referrals, self._release, silence_timeout, self._handoff.dtmf_key)

        return await call_out(self._dialler, callee, dial)

    async def _wait_for_answer(self, leg: Leg, agent_leg: Leg) -> None:
        try:
            await _join_and_wait(leg, agent_leg, self._handoff.dtmf_key)
        except LegEnded:
            if leg.ended.done():
                raise
            if not agent_leg.answered.done():
                raise DialFailed(SipStatus.SERVER_INTERNAL_ERROR, "the agent could not be joined") from None
            agent_leg.answered.result()
            if not agent_leg.ended.done():
                raise DialFailed(SipStatus.SERVER_INTERNAL_ERROR, "the agent could not be joined") from None
            if not (end := agent_leg.ended.result()).by_peer:
                raise DialFailed(end.sip_status, "the agent's answer is unusable") from None
            # It answered and hung up. Its BYE may request a handoff.

    def _release(self, leg: Leg) -> asyncio.Future[None]:
        """Hang up in the background."""
        return self._background.start(leg.hang_up())


def _check_presence(agent_leg: Leg, referrals: Referrals) -> None:
    """Raise `DialFailed` for an agent that has answered and hung up before the caller is answered."""
    if agent_leg.ended.done() and not has_served(agent_leg.ended.result(), 0.0, referrals):
        raise DialFailed(SipStatus.TEMPORARILY_UNAVAILABLE, "it answered and hung up at once")


async def _join_and_wait(leg: Leg, agent_leg: Leg, withheld_digit: str | None) -> None:
    """Join the two legs: before the answer if there is early media. Raises `DialFailed` or `LegEnded`."""
    await wait_any(agent_leg.answered, agent_leg.early)
    early = not agent_leg.answered.done()
    if early:
        await leg.join(agent_leg, withheld_digit)
        await leg.send_early_media()
        await wait_any(agent_leg.answered)
    agent_leg.answered.result()
    if not early:
        await leg.join(agent_leg, withheld_digit)
