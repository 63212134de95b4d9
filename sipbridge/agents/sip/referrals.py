"""The REFERs of a SIP agent. Each requests a handoff."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sipbridge.agents.sip.handoff_headers import read_refer
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg, ReferDecision, Referral
from sipbridge.config import HandoffConfig
from sipbridge.errors import HandoffConflict, HandoffInvalid, LegEnded
from sipbridge.handoffs.destinations import make_plan
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.telephony.sip_status import SipStatus


class Referrals:
    """Implements `calls.ports.ReferHandler` for one agent's leg, from before it answers.

    An agent may send REFER as soon as it has answered, which is before the caller is answered. Such a request is kept
    until the conversation begins.
    """

    def __init__(self, config: HandoffConfig) -> None:
        self._config = config
        self._leg: Leg | None = None
        self._loop = asyncio.get_running_loop()
        self._call: LiveCall | None = None
        self._early_request: HandoffRequest | None = None
        # True once the agent has requested a handoff, even one that was refused.
        self.asked = False
        self._faults: list[tuple[str, str]] = []
        # True after a 202 until its final NOTIFY. Two REFERs may be decided before the event loop is notified of the
        # first, and of two subscriptions in one dialog only the last can be sent a NOTIFY.
        self._notify_due = False
        self._finished = False

    def attach(self, leg: Leg) -> None:
        """Set the agent's leg. It exists only after the INVITE, and a REFER may precede this call."""
        self._leg = leg

    def decide(self, referral: Referral) -> ReferDecision:
        """Return the response: 202, 400, 403, or 491 if the call is already handed off or ending."""
        self.asked = True
        try:
            request = read_refer(referral, self._config.destinations)
            if self._notify_due:
                return ReferDecision(SipStatus.REQUEST_PENDING)
            if self._call is not None:
                self._call.check_handoff(request)
            else:
                make_plan(self._config, request)
        except HandoffConflict:
            return ReferDecision(SipStatus.REQUEST_PENDING)
        except HandoffInvalid as error:
            self._note_from_sip_thread("refer_refused", str(error))
            return ReferDecision(SipStatus.FORBIDDEN, str(error))
        except ValueError as error:
            self._note_from_sip_thread("bad_refer", str(error))
            return ReferDecision(SipStatus.BAD_REQUEST, str(error))
        self._notify_due = True
        return ReferDecision(SipStatus.ACCEPTED)

    def rejected(self, why: str) -> None:
        """Note a REFER that was rejected before `decide`: the agent wanted a human agent for the caller."""
        self.asked = True
        self._note("bad_refer", why)

    def accepted(self, referral: Referral) -> None:
        """Request the handoff, or keep it until the conversation begins."""
        request = read_refer(referral, self._config.destinations)
        if self._finished:
            self._notify(SipStatus.REQUEST_TERMINATED)
        elif self._call is None:
            self._early_request = request
        else:
            self._request(self._call, request)

    def begin(self, call: LiveCall) -> None:
        """Begin the conversation: note earlier faults and make an earlier request."""
        self._call = call
        for fault, why in self._faults:
            call.note_refused_handoff(fault, why)
        if self._early_request is not None:
            self._request(call, self._early_request)

    def finish(self, handoff: HandoffRecord | None) -> None:
        """Send the final NOTIFY of a pending REFER, and refuse later ones."""
        self._finished = True
        self.report(handoff)

    def report(self, handoff: HandoffRecord | None) -> None:
        """Send the final NOTIFY of a pending REFER: the outcome of the handoff, if there was one."""
        if self._notify_due:
            self._notify(_final_status(handoff))

    def _request(self, call: LiveCall, request: HandoffRequest) -> None:
        try:
            call.request_handoff(request, requested_by="agent")
        except HandoffConflict:
            # Another request was made between `decide` and now.
            self._notify(SipStatus.REQUEST_PENDING)
        except HandoffInvalid as error:
            call.note_refused_handoff("refer_refused", str(error))
            self._notify(SipStatus.FORBIDDEN)

    def _notify(self, status: SipStatus) -> None:
        self._notify_due = False
        if self._leg is not None:
            with suppress(LegEnded):
                self._leg.notify(status, status.phrase)

    def _note_from_sip_thread(self, fault: str, why: str) -> None:
        """Note a refusal on the event loop. RuntimeError: the loop is closed, and no call is left."""
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
    if handoff.taken_back:
        return SipStatus.TEMPORARILY_UNAVAILABLE
    if handoff.state is not HandoffState.COMPLETED:
        return SipStatus.SERVICE_UNAVAILABLE
    return SipStatus.OK if handoff.confirmed else SipStatus.ACCEPTED
