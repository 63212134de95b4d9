"""How the caller leaves us: `release`, `refer` and `invite`, and the fall back to `release`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from sipbridge.aio import wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.endings import CALLER_HUNG_UP
from sipbridge.calls.events import TransferDone
from sipbridge.calls.leg_end import hang_up
from sipbridge.calls.media_timeout import media_timed_out
from sipbridge.calls.outgoing import CHALLENGES, Attempt, Callee, call_out
from sipbridge.calls.ports import Leg, ReferResult, SignalResult
from sipbridge.errors import DialFailed, LegGone
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome, Result

REFER_SECONDS = 15.0
_REQUEST_TIMEOUT = 408

logger = logging.getLogger(__name__)


class Taken(Enum):
    """Whether somebody took the caller."""

    YES = "yes"  # it showed: a 2xx by NOTIFY, an answered INVITE, CXone's BYE after the Signal
    MAYBE = "maybe"  # it was accepted, and nobody can know more
    NO = "no"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of a transfer. `story` tells it in a few fixed words, for the record."""

    taken: Taken
    outcome: Outcome
    story: str


Joined = Callable[[Transfer], Awaitable[None]]


async def transfer(call: Call, plan: HandoffPlan, signal: SignalResult | None, joined: Joined) -> Transfer:
    """Carry out the destination's method. Never raises; on return the caller has left or is about to get BYE.

    `joined` is told when `invite` has brought the two together, which is when that handoff is done.
    """
    if plan.method == "release":
        return await _release(call, signal, Taken.MAYBE if signal is None else Taken.NO)
    attempt = await (_refer(call, plan) if plan.method == "refer" else _invite(call, plan, joined))
    if attempt.taken is not Taken.NO or call.leg.ended.done():
        return attempt
    # Nobody took the caller there: the Studio script takes over, as it does for `release`.
    fallback = await _release(call, signal, Taken.NO)
    return Transfer(fallback.taken, attempt.outcome, f"{attempt.story}, {fallback.story}")


async def _release(call: Call, signal: SignalResult | None, unsignalled: Taken) -> Transfer:
    """Leave the caller to the script that was signalled: wait for CXone's BYE, then send ours.

    Where the Signal certainly did nothing there is nothing to wait for: BYE at once, which makes the script send the
    caller to a human.
    """
    began = time.monotonic()
    waits = signal in (SignalResult.ACCEPTED, SignalResult.UNKNOWN)
    if waits:
        grace = call.project_config.handoff.release_grace_seconds
        await wait_any(call.leg.ended, timeout=grace)
    by_peer = call.leg.ended.done() and call.leg.ended.result().by_peer
    await hang_up(call)
    if signal is SignalResult.ACCEPTED:
        taken = Taken.YES if by_peer else Taken.MAYBE
    elif signal is SignalResult.UNKNOWN:
        taken = Taken.MAYBE if by_peer else Taken.NO
    else:
        taken = unsignalled
    story = "released_by_peer" if by_peer else "released"
    result = {Taken.YES: Result.SUCCESS, Taken.MAYBE: Result.INDETERMINATE, Taken.NO: Result.UPSTREAM_ERROR}[taken]
    return _done(call, "release", Transfer(taken, Outcome(result, story), story), 0, began)


_REFERRED = {
    ReferResult.ACCEPTED: (Taken.YES, Result.SUCCESS),
    ReferResult.REFUSED: (Taken.NO, Result.UPSTREAM_ERROR),
    ReferResult.FAILED: (Taken.NO, Result.UPSTREAM_ERROR),
    ReferResult.NO_NOTIFY: (Taken.MAYBE, Result.INDETERMINATE),
    ReferResult.PEER_HUNG_UP: (Taken.MAYBE, Result.INDETERMINATE),
}


async def _refer(call: Call, plan: HandoffPlan) -> Transfer:
    """Ask CXone to send the caller on (RFC 5589, 6: blind transfer). 202 alone says nothing."""
    began = time.monotonic()
    try:
        end = await call.leg.refer(plan.uri, plan.headers, REFER_SECONDS)
    except LegGone:
        # It was never sent: the caller was gone, or PJSIP would not.
        gone = abandon(call) if call.leg.ended.done() else _not_taken("refer_not_sent")
        return _done(call, "refer", gone, 0, began)
    taken, result = _REFERRED[end.result]
    if taken is not Taken.NO:
        await hang_up(call)
    story = f"refer_{end.result.value}"
    return _done(call, "refer", Transfer(taken, Outcome(result, story), story), end.sip_status, began)


async def _invite(call: Call, plan: HandoffPlan, joined: Joined) -> Transfer:
    """Call the destination and join the two; stay in the path until either ends."""
    began = time.monotonic()
    leg: Leg | None = None
    try:
        async with call.while_there():
            leg = await _reach(call, plan)
        if leg is None:
            return _done(call, "invite", _not_taken("invite_no_answer"), 0, began)
        await call.leg.join(leg)
        answered = Transfer(Taken.YES, Outcome(Result.SUCCESS, "invite_answered"), "invite_answered")
        await joined(_done(call, "invite", answered, 200, began))
        await _until_parted(call, leg)
    except DialFailed as error:
        story = "invite_no_answer" if error.sip_status == _REQUEST_TIMEOUT else "invite_refused"
        if error.sip_status in CHALLENGES:
            record = call.record
            extra = {"event": "credentials_refused", "client": record.client, "project": record.project}
            logger.warning("the destination was not reached: %s", error, extra=extra)
        return _done(call, "invite", _not_taken(story), error.sip_status, began)
    except LegGone:
        # The caller left while the destination rang, or the destination while the two were being joined.
        gone = abandon(call) if call.leg.ended.done() else _not_taken("invite_refused")
        return _done(call, "invite", gone, 0, began)
    else:
        return answered
    finally:
        if leg is not None:
            # Not awaited: the caller is to be dealt with.
            call.in_the_background(leg.hang_up())


async def _reach(call: Call, plan: HandoffPlan) -> Leg | None:
    """The leg of the destination once it has answered, None where the bridge drains. Raises `DialFailed`."""
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
            call.in_the_background(leg.hang_up())
            raise
        call.in_the_background(leg.hang_up())
        return None

    return await call_out(call.context.dialler, callee, attempt)


async def _until_parted(call: Call, leg: Leg) -> None:
    """Return when one of the two hangs up or falls silent, when the bridge drains, or at `max_call_seconds`."""
    silence = call.project_config.media_timeout_seconds
    watches = [asyncio.ensure_future(media_timed_out(each, silence)) for each in (call.leg, leg) if silence is not None]
    try:
        await wait_any(leg.ended, call.leg.ended, call.drained, *watches, timeout=call.project_config.max_call_seconds)
    finally:
        for watch in watches:
            watch.cancel()
    if leg.ended.done() and leg.ended.result().by_peer and not call.leg.ended.done():
        call.note(ended_by="destination")


def _not_taken(story: str) -> Transfer:
    return Transfer(Taken.NO, Outcome(Result.UPSTREAM_ERROR, story), story)


def abandon(call: Call) -> Transfer:
    """Return what becomes of a handoff whose caller is gone before the method is done."""
    ending = call.leg_ending()
    result = Result.CLIENT_ERROR if ending is CALLER_HUNG_UP else ending.result
    return Transfer(Taken.NO, Outcome(result, ending.reason), ending.reason)


def _done(call: Call, method: str, transfer: Transfer, sip_status: int, began: float) -> Transfer:
    call.emit(TransferDone(call.record, method, transfer.outcome, sip_status, time.monotonic() - began))
    return transfer
