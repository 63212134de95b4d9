"""The transfer of the caller: `release`, `refer` and `invite`, and the fallback to `release`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from sipbridge.aio import wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.endings import CALLER_HUNG_UP, TAKEN_OVER
from sipbridge.calls.events import TransferDone
from sipbridge.calls.leg_end import caller_hung_up, hang_up
from sipbridge.calls.media_timeout import media_timed_out
from sipbridge.calls.outcomes import (
    INVITE_ANSWERED,
    INVITE_NO_ANSWER,
    INVITE_REFUSED,
    REFER_NOT_SENT,
    REFER_OUTCOMES,
    RELEASED,
    RELEASED_BY_PEER,
    TAKEN_BACK,
)
from sipbridge.calls.outgoing import CHALLENGES, Attempt, Callee, call_out
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Leg, ReferResult
from sipbridge.calls.take_back import take_back
from sipbridge.errors import DialFailed, LegEnded
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.telephony.sip_status import SipStatus

REFER_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Confirmation(Enum):
    """True, unknown or false: the destination took the caller."""

    CONFIRMED = "confirmed"  # a 2xx by NOTIFY, an answered INVITE, or CXone's BYE after the Signal
    UNCONFIRMED = "unconfirmed"  # it was accepted, and no more can be known
    FAILED = "failed"
    TAKEN_BACK = "taken_back"  # CXone did not take the caller, and the agent has them again


@dataclass(frozen=True, slots=True)
class Transfer:
    """The result of a transfer. `detail` is `transfer` of the record: fixed words, with a fallback after a comma."""

    confirmation: Confirmation
    outcome: Outcome
    detail: str

    @classmethod
    def of(cls, confirmation: Confirmation, outcome: Outcome) -> Transfer:
        """Return a transfer whose detail is the reason of its outcome."""
        return cls(confirmation, outcome, outcome.reason)


OnJoined = Callable[[Transfer], Awaitable[None]]


async def transfer(call: Call, plan: HandoffPlan, signal: SignalResult | None, on_joined: OnJoined) -> Transfer:
    """Carry out the destination's method. Never raises.

    On return the caller's leg has ended or is about to, unless the agent has got the caller back.

    `on_joined` is called when `invite` has joined the two legs, which finishes that handoff.
    """
    if plan.method == "release":
        return await _release(call, signal, Confirmation.UNCONFIRMED if signal is None else Confirmation.FAILED)
    if not await _may_transfer(call, signal):
        attempt = Transfer.of(Confirmation.FAILED, TAKEN_OVER.outcome)
    elif plan.method == "refer":
        attempt = await _refer(call, plan)
    else:
        attempt = await _invite(call, plan, on_joined)
    if attempt.confirmation is not Confirmation.FAILED or call.leg.ended.done():
        return attempt
    # The destination did not take the caller: the Studio script goes on, as it does for `release`.
    fallback = await _release(call, signal, Confirmation.FAILED)
    outcome = fallback.outcome if fallback.confirmation is Confirmation.TAKEN_BACK else attempt.outcome
    return Transfer(fallback.confirmation, outcome, f"{attempt.detail}, {fallback.detail}")


async def _may_transfer(call: Call, signal: SignalResult | None) -> bool:
    """Return True unless another node may have signalled the contact, whose script then moves the caller, too."""
    claims = call.context.claims
    is_signalled = signal not in (None, SignalResult.UNDELIVERED)  # then this node has the claim
    if claims is None or is_signalled or await claims.may_transfer(call.record):
        return True
    extra = {"event": "claim_taken", **call.log_fields}
    logger.warning("caller not transferred: another node may have the call", extra=extra)
    return False


def abandon(call: Call) -> Transfer:
    """Return the transfer of a handoff whose caller's leg ended before the method was done."""
    ending = call.interruption()
    result = Result.CLIENT_ERROR if ending is CALLER_HUNG_UP else ending.result
    return Transfer.of(Confirmation.FAILED, Outcome(result, ending.reason))


_RELEASE_RESULTS = {
    Confirmation.CONFIRMED: Result.SUCCESS,
    Confirmation.UNCONFIRMED: Result.INDETERMINATE,
    Confirmation.FAILED: Result.UPSTREAM_ERROR,
}


async def _release(call: Call, signal: SignalResult | None, unsignalled: Confirmation) -> Transfer:
    """Leave the caller to the script that was signalled: wait for CXone's BYE, then give the caller back or send ours.

    If the Signal certainly had no effect, BYE goes out at once, and makes the script send the caller to a human agent.
    """
    began_at = time.monotonic()
    if signal in (SignalResult.ACCEPTED, SignalResult.UNKNOWN):
        # Again, if a destination hung up while it was being joined.
        call.hold_audio.start(call.hold_clip)
        if await take_back(call):
            return _done(call, "release", Transfer.of(Confirmation.TAKEN_BACK, TAKEN_BACK), 0, began_at)
        grace = call.project_config.handoff.release_grace_seconds - (time.monotonic() - began_at)
        await wait_any(call.leg.ended, timeout=max(0.0, grace))
    await hang_up(call)
    if caller_hung_up(call):
        return _done(call, "release", abandon(call), 0, began_at)
    by_peer = call.leg.ended.result().by_peer
    if signal is SignalResult.ACCEPTED:
        confirmation = Confirmation.CONFIRMED if by_peer else Confirmation.UNCONFIRMED
    elif signal is SignalResult.UNKNOWN:
        confirmation = Confirmation.UNCONFIRMED if by_peer else Confirmation.FAILED
    else:
        confirmation = unsignalled
    outcome = Outcome(_RELEASE_RESULTS[confirmation], RELEASED_BY_PEER if by_peer else RELEASED)
    return _done(call, "release", Transfer.of(confirmation, outcome), 0, began_at)


_REFER_CONFIRMATIONS = {
    ReferResult.ACCEPTED: Confirmation.CONFIRMED,
    ReferResult.NO_NOTIFY: Confirmation.UNCONFIRMED,
    ReferResult.PEER_HUNG_UP: Confirmation.UNCONFIRMED,
    ReferResult.REFUSED: Confirmation.FAILED,
    ReferResult.FAILED: Confirmation.FAILED,
}


async def _refer(call: Call, plan: HandoffPlan) -> Transfer:
    """Transfer the caller by REFER (RFC 5589, 6: blind transfer). 202 alone confirms nothing."""
    began_at = time.monotonic()
    try:
        # Before a Signal the journal must have our BYE first, so `hang_up` sends it.
        end = await call.leg.refer(plan.uri, plan.headers, REFER_SECONDS, then_bye=call.signalled)
    except LegEnded:
        # The REFER was not sent: the leg has ended, or PJSIP refused the command.
        failed = abandon(call) if call.leg.ended.done() else Transfer.of(Confirmation.FAILED, REFER_NOT_SENT)
        return _done(call, "refer", failed, 0, began_at)
    transferred = Transfer.of(_REFER_CONFIRMATIONS[end.result], REFER_OUTCOMES[end.result])
    if transferred.confirmation is not Confirmation.FAILED:
        await hang_up(call)
    return _done(call, "refer", transferred, end.sip_status, began_at)


async def _invite(call: Call, plan: HandoffPlan, on_joined: OnJoined) -> Transfer:
    """Call the destination and join the two legs; return when either ends."""
    began_at = time.monotonic()
    leg: Leg | None = None
    try:
        async with call.unless_ended():
            leg = await _call_destination(call, plan)
        if leg is None:
            return _done(call, "invite", Transfer.of(Confirmation.FAILED, INVITE_NO_ANSWER), 0, began_at)
        await call.hold_audio.stop()
        await call.leg.join(leg)
        answered = Transfer.of(Confirmation.CONFIRMED, INVITE_ANSWERED)
        await on_joined(_done(call, "invite", answered, 200, began_at))
        await _wait_for_end(call, leg)
    except DialFailed as error:
        outcome = INVITE_NO_ANSWER if error.sip_status == SipStatus.REQUEST_TIMEOUT else INVITE_REFUSED
        if error.sip_status in CHALLENGES:
            record = call.record
            extra = {"event": "credentials_refused", "client": record.client, "project": record.project}
            logger.warning("the destination was not reached: %s", error, extra=extra)
        return _done(call, "invite", Transfer.of(Confirmation.FAILED, outcome), error.sip_status, began_at)
    except LegEnded:
        # The caller hung up while the destination rang, or the destination while the two were being joined.
        failed = abandon(call) if call.leg.ended.done() else Transfer.of(Confirmation.FAILED, INVITE_REFUSED)
        return _done(call, "invite", failed, 0, began_at)
    else:
        return answered
    finally:
        if leg is not None:
            # Not awaited: the caller comes first.
            call.background.start(leg.hang_up())


async def _call_destination(call: Call, plan: HandoffPlan) -> Leg | None:
    """Return the destination's leg once it has answered, None if the bridge drains. Raises `DialFailed`."""
    routes = call.project_config.handoff.allowed_routes
    callee = Callee(plan.uri, plan.answer_timeout_seconds, routes, plan.credentials, plan.sources)

    async def attempt(one: Attempt) -> Leg | None:
        leg = await one.dial(plan.headers, call.record.caller)
        try:
            async with one.responds_in_time(leg):
                await wait_any(leg.answered, call.drained)
            if leg.answered.done():
                leg.answered.result()
                return leg
        except BaseException:
            call.background.start(leg.hang_up())
            raise
        call.background.start(leg.hang_up())
        return None

    return await call_out(call.context.dialler, callee, attempt)


async def _wait_for_end(call: Call, leg: Leg) -> None:
    """Return when either leg ends or its media times out, when the bridge drains, or after `max_call_seconds`."""
    timeout = call.project_config.media_timeout_seconds
    watches = [asyncio.ensure_future(media_timed_out(each, timeout)) for each in (call.leg, leg) if timeout is not None]
    try:
        await wait_any(leg.ended, call.leg.ended, call.drained, *watches, timeout=call.project_config.max_call_seconds)
    finally:
        for watch in watches:
            watch.cancel()
    if leg.ended.done() and leg.ended.result().by_peer and not call.leg.ended.done():
        call.update(ended_by="destination")


def _done(call: Call, method: str, transferred: Transfer, sip_status: int, began_at: float) -> Transfer:
    call.emit(TransferDone(call.record, method, transferred.outcome, sip_status, time.monotonic() - began_at))
    return transferred
