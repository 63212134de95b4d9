"""The REFERs of a SIP agent: each is a handoff that it asks for."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sipbridge.agents.sip.handoff_headers import read_refer
from sipbridge.calls.ports import Leg, LiveCall, ReferDecision, Referral
from sipbridge.config import HandoffConfig
from sipbridge.errors import HandoffConflict, HandoffInvalid, LegEnded
from sipbridge.handoffs.destinations import make_plan
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.telephony.sip_status import SipStatus


class Referrals:
    """Implements `calls.ports.ReferHandler` for one agent's leg, from before it answers.

    An agent may send REFER as soon as it has answered, which is before the caller is. Such a one is kept, and asked
    for as soon as the conversation begins.
    """

    def __init__(self, config: HandoffConfig) -> None:
        self._config = config
        self._leg: Leg | None = None
        self._loop = asyncio.get_running_loop()
        self._call: LiveCall | None = None
        self._waiting: HandoffRequest | None = None
        # True once the agent has asked for a handoff, whatever became of it.
        self.asked = False
        self._faults: list[tuple[str, str]] = []
        # Whether a 202 was promised and is not yet followed by its final NOTIFY. Two REFERs may be judged before the
        # loop hears of the first, and of two subscriptions in one dialog only the last could be told anything.
        self._owing = False
        self._over = False

    def attach(self, leg: Leg) -> None:
        """Take note of the agent's leg: it cannot be had before the INVITE, and a REFER may come before we go on."""
        self._leg = leg

    def decide(self, referral: Referral) -> ReferDecision:
        """Say how to answer: 202, 400, 403, or 491 where the call is handed off or ends already."""
        self.asked = True
        try:
            request = read_refer(referral, self._config.destinations)
            if self._owing:
                return ReferDecision(SipStatus.REQUEST_PENDING)
            if self._call is not None:
                self._call.check_handoff(request)
            else:
                make_plan(self._config, request)
        except HandoffConflict:
            return ReferDecision(SipStatus.REQUEST_PENDING)
        except HandoffInvalid as error:
            self._note_from_afar("refer_refused", str(error))
            return ReferDecision(SipStatus.FORBIDDEN, str(error))
        except ValueError as error:
            self._note_from_afar("bad_refer", str(error))
            return ReferDecision(SipStatus.BAD_REQUEST, str(error))
        self._owing = True
        return ReferDecision(SipStatus.ACCEPTED)

    def rejected(self, why: str) -> None:
        """Note the refusal: in whatever form the agent asked, its caller wants a human."""
        self.asked = True
        self._note("bad_refer", why)

    def accepted(self, referral: Referral) -> None:
        """Hand off, or keep the wish until the conversation begins."""
        request = read_refer(referral, self._config.destinations)
        if self._over:
            self._notify(SipStatus.REQUEST_TERMINATED)
        elif self._call is None:
            self._waiting = request
        else:
            self._ask(self._call, request)

    def begin(self, call: LiveCall) -> None:
        """The conversation begins: what came before it counts from now on."""
        self._call = call
        for fault, why in self._faults:
            call.note_refused_handoff(fault, why)
        if self._waiting is not None:
            self._ask(call, self._waiting)

    def finish(self, handoff: HandoffRecord | None) -> None:
        """Send the final NOTIFY that a REFER is still owed: what became of the handoff, if there was one."""
        self._over = True
        if self._owing:
            self._notify(_final_status(handoff))

    def _ask(self, call: LiveCall, request: HandoffRequest) -> None:
        try:
            call.request_handoff(request, requested_by="agent")
        except HandoffConflict:
            # Somebody was quicker, between our look and now.
            self._notify(SipStatus.REQUEST_PENDING)
        except HandoffInvalid as error:
            call.note_refused_handoff("refer_refused", str(error))
            self._notify(SipStatus.FORBIDDEN)

    def _notify(self, status: SipStatus) -> None:
        self._owing = False
        if self._leg is not None:
            with suppress(LegEnded):
                self._leg.notify(status, status.phrase)

    def _note_from_afar(self, fault: str, why: str) -> None:
        """Note a refusal, from the SIP thread. The loop is closed only when there is nobody left to tell."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note, fault, why)

    def _note(self, fault: str, why: str) -> None:
        if self._call is None:
            self._faults.append((fault, why))
        else:
            self._call.note_refused_handoff(fault, why)


def _final_status(handoff: HandoffRecord | None) -> SipStatus:
    if handoff is None or handoff.transfer == "caller_hung_up":
        return SipStatus.REQUEST_TERMINATED
    if handoff.state is not HandoffState.COMPLETED:
        return SipStatus.SERVICE_UNAVAILABLE
    return SipStatus.OK if handoff.confirmed else SipStatus.ACCEPTED
