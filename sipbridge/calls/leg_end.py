"""The end of the caller's leg, journalled before CXone can know of it: see the promise in signal.py.

The caller's BYE gets its response once the journal has `hung_up`. Our own BYE is sent once the journal has
`hanging_up`, and `hung_up` follows the BYE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sipbridge.aio import resolve_futures, wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.model import EndedBy, LegEnd
from sipbridge.calls.ports.sip import Headers
from sipbridge.errors import LegEnded

# A disk that hangs delays no BYE for longer. The native layer holds the caller's BYE for the same time.
JOURNAL_SECONDS = 0.1
# The caller's BYE ends the leg within this time after it came, in any case.
HELD_SECONDS = 2 * JOURNAL_SECONDS


def watch_leg(call: Call) -> None:
    """Journal the end of the caller's leg, which is about to be answered, whichever side ends it."""
    call.leg_end_due = True
    call.leg.before_bye(partial(_journal_before_response, call))
    call.leg.ended.add_done_callback(partial(_journal_after_end, call))


async def hang_up(call: Call, sip_status: int = 200, headers: Headers | None = None) -> None:
    """End the caller's leg: BYE, or a final response with this status and these headers.

    Every hang-up of the leg comes through here.
    A BYE of the caller that comes before ours ends the leg; then none is sent.
    """
    try:
        if call.leg_end_due and not call.signalled and not call.leg.ended.done():
            await _journal_before_bye(call)
        await _wait_for_held_bye(call)
    finally:
        await call.leg.hang_up(sip_status, headers)


async def check_caller(call: Call) -> None:
    """Raise `LegEnded` if the caller has hung up, also if their BYE still waits for the journal."""
    await _wait_for_held_bye(call)
    if call.leg.ended.done():
        raise LegEnded("the caller has hung up")


def caller_hung_up(call: Call) -> bool:
    """True if the caller ended the call: their BYE came before CXone could know of any end by our side."""
    return call.leg.ended.done() and call.leg.ended.result().by_peer and not call.signalled


def ended_by(call: Call, leg_end: LegEnd) -> EndedBy:
    """Return the `ended_by` of the call's record."""
    if caller_hung_up(call):
        return "caller"
    return call.record.ended_by or ("caller" if leg_end.by_peer else "bridge")


async def _wait_for_held_bye(call: Call) -> None:
    if call.bye_held:
        await wait_any(call.leg.ended, timeout=HELD_SECONDS)


async def _journal_before_bye(call: Call) -> None:
    written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    by = call.record.ended_by or "bridge"
    on_written = partial(resolve_futures, [written], None)
    call.context.journal.hanging_up(call.record.call_id, by, call.timestamp(), on_written)
    await wait_any(written, call.leg.ended, timeout=JOURNAL_SECONDS)


def _journal_before_response(call: Call, written: Callable[[], None]) -> bool:
    """Journal the caller's BYE; return True if its response must wait for that. Runs on the SIP thread."""
    if call.signalled or not call.leg_end_due:
        return False
    call.bye_held = True  # first: between the two, the event loop must not take the leg for one without a BYE
    call.leg_end_due = False
    call.context.journal.hung_up(call.record.call_id, "caller", call.timestamp(), written)
    return True


def _journal_after_end(call: Call, ended: asyncio.Future[LegEnd]) -> None:
    """Journal an end that is not journalled yet: by our BYE, by PJSIP on its own, or after the Signal."""
    leg_end = ended.result()
    if call.leg_end_due:
        call.leg_end_due = False
        call.context.journal.hung_up(
            call.record.call_id, ended_by(call, leg_end), call.timestamp(leg_end.at), urgent=not call.signalled
        )
