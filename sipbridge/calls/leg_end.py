"""The end of the caller's leg, journalled before CXone can know that the leg has ended.

Once the leg has ended, by either side's BYE, its contact is gone or its script has gone on. So the next start after a
crash must not signal that contact, and the journal has `hung_up` before we send a BYE and before we respond to one.
A contact that was signalled is in the journal already ([signal.py](signal.py)): its BYE waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from sipbridge.aio import wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.model import EndedBy, LegEnd

# A disk that hangs delays no BYE for longer. The native layer holds the caller's BYE for the same time.
JOURNAL_SECONDS = 0.1


def watch_leg(call: Call) -> None:
    """Journal the end of the caller's leg, which is about to be answered, whoever ends it."""
    call.leg_end_due = True
    call.leg.before_bye(partial(_journal_before_response, call))
    call.leg.ended.add_done_callback(partial(_journal_after_end, call))


async def hang_up(call: Call, sip_status: int = 200) -> None:
    """End the caller's leg: BYE, or a final response with this status. Every hang-up of the leg comes through here."""
    try:
        if call.leg_end_due and not call.signalled and not call.leg.ended.done():
            await _journal_before_bye(call)
    finally:
        await call.leg.hang_up(sip_status)


def ended_by(call: Call, leg_end: LegEnd) -> EndedBy:
    """Return who ended the call, for its record."""
    return call.record.ended_by or ("caller" if leg_end.by_peer else "bridge")


async def _journal_before_bye(call: Call) -> None:
    loop = asyncio.get_running_loop()
    written: asyncio.Future[None] = loop.create_future()

    def notify() -> None:  # on the journal's thread
        with suppress(RuntimeError):  # the loop is closed, and nothing waits
            loop.call_soon_threadsafe(_resolve, written)

    call.leg_end_due = False
    journal = call.context.journal
    journal.hung_up(call.record.call_id, call.record.ended_by or "bridge", call.moment(), notify)
    await wait_any(written, call.leg.ended, timeout=JOURNAL_SECONDS)


def _journal_before_response(call: Call, written: Callable[[], None]) -> bool:
    """Journal the caller's BYE; True if its response is to wait for that. Runs on the SIP thread."""
    if call.signalled or not call.leg_end_due:
        return False
    call.leg_end_due = False
    call.context.journal.hung_up(call.record.call_id, call.record.ended_by or "caller", call.moment(), written)
    return True


def _journal_after_end(call: Call, ended: asyncio.Future[LegEnd]) -> None:
    """Journal an end that gave no warning: PJSIP's own, or one after the Signal."""
    leg_end = ended.result()
    if call.leg_end_due:
        call.leg_end_due = False
        call.context.journal.hung_up(call.record.call_id, ended_by(call, leg_end), call.moment(leg_end.at))


def _resolve(written: asyncio.Future[None]) -> None:
    if not written.done():
        written.set_result(None)
