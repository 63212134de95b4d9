"""The recovery after a crash or a loss of power: each contact that was in a conversation is signalled once.

The next start of the bridge does it, or another node that takes over the calls.

The dialogs of those calls no longer exist, so the Signal is all that can be done. It is also all that is needed: the
Studio script that holds the caller goes on from there. Which contacts are signalled follows from the promise in
signal.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sipbridge.aio import wait_any
from sipbridge.calls.call import now
from sipbridge.calls.context import CallContext
from sipbridge.calls.endings import CALLER_HUNG_UP
from sipbridge.calls.events import CallRecovered, RecordRecovered, SignalSent, StoreFailed
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.outcomes import (
    BYE_UNKNOWN,
    HUNG_UP_BEFORE,
    NO_SIGNAL,
    PROJECT_GONE,
    SIGNAL_OUTCOMES,
    SIGNALLED_BEFORE,
    TOO_OLD,
    HandoffReason,
)
from sipbridge.calls.parameters import signal_parameters
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.calls.recovered_record import (
    begin_handoff,
    close_record,
    merge_records,
    recorded_signal,
    was_taken_back,
    with_handoff,
)
from sipbridge.calls.signal import Signal
from sipbridge.config import VoiceProjectConfig
from sipbridge.errors import CallTakenOver, StoreError
from sipbridge.handoffs.destinations import make_plan
from sipbridge.handoffs.lifecycle import is_in_progress
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.request import HandoffRequest

logger = logging.getLogger(__name__)

# Signals in progress per client, so that a client whose CXone is down delays no other client's callers.
AT_ONCE = 20
# The network may come up later than the bridge.
TRIES = 12
# A disk that hangs must not keep contacts waiting. Thousands of calls may ask at once, so it is longer than for a call.
STORE_SECONDS = 10.0
PAUSE_SECONDS = 5.0


class Cause(NamedTuple):
    """Why calls are recovered: the reason of their handoffs, and the purpose of their Signals.

    `may_be_old` is false if the calls were in progress a moment ago. Then the age of a call says nothing but that the
    clocks of two machines differ. If they `may_wait`, a call whose Signal does not arrive is left open: another node
    may reach CXone.
    """

    reason: HandoffReason
    purpose: str
    may_be_old: bool = True
    may_wait: bool = False


RESTART = Cause(HandoffReason.RESTARTED, "restart")
NODE_LOST = Cause(HandoffReason.NODE_LOST, "takeover")


async def recover(unfinished: Sequence[Unfinished], context: CallContext, cause: Cause = RESTART) -> int:
    """Recover the calls that an earlier run left open, or another node. If this is cancelled, the next one goes on.

    Return the number of calls that wait: their Signals did not arrive.
    """
    count = len(unfinished)
    calls = f"{count} open call{'' if count == 1 else 's'}"
    level = logging.WARNING if unfinished else logging.DEBUG
    logger.log(level, "recovery began: %s", calls, extra={"event": "recovery_began", "calls": count})
    clients: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
    contacts: defaultdict[tuple[str, str], _Contact] = defaultdict(_Contact)
    waiting: list[str] = []

    async def recover_one(call: Unfinished) -> None:
        try:
            client = call.record.client
            turn = _Turn(clients[client], contacts[client, call.record.contact_id], cause)
            if not await _recover(call, context, turn):
                waiting.append(call.record.call_id)
        except Exception:
            extra = {"event": "internal_error", "call_id": call.record.call_id}
            logger.exception("a call could not be recovered", extra=extra)

    for call in unfinished:
        if call.needs_signal:
            contacts[call.record.client, call.record.contact_id].calls.append(call.record.call_id)
    async with asyncio.TaskGroup() as recovering:
        for call in unfinished:
            recovering.create_task(recover_one(call))
    level = logging.INFO if unfinished else logging.DEBUG
    logger.log(level, "recovery ended: %s", calls, extra={"event": "recovery_ended", "calls": count})
    return len(waiting)


@dataclass(slots=True)
class _Contact:
    """A contact, of which several calls may have been in progress. It is signalled through one of them.

    The journal knows that of the others before the first byte, so the next recovery does too, if this one is
    interrupted. `calls` are the ids of all that need a Signal.
    """

    calls: list[str] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    signalled: bool = False


class _Turn(NamedTuple):
    """The limits that a Signal waits for, few at once per client and one at a time per contact; and its cause."""

    client: asyncio.Semaphore
    contact: _Contact
    cause: Cause


class _Recovered(NamedTuple):
    """A record in its final state and the outcome of its recovery. `erased` if the record was erased meanwhile."""

    record: CallRecord
    outcome: Outcome
    erased: bool = False


class _Put(Enum):
    """The result of a put. The record is `SUPERSEDED` if that of another node, which came later, stands."""

    WRITTEN = 1
    SUPERSEDED = 2
    FAILED = 3


async def _recover(call: Unfinished, context: CallContext, turn: _Turn) -> bool:
    """Recover a call; return False if it waits."""
    record = call.record
    if record.state is not CallState.ENDED:
        # The store may know more: the agent's data, or that the call had ended in every respect but the journal.
        stored = await _stored(record, context)
        if stored is not None and stored.state is CallState.ENDED:
            context.journal.stored(record.call_id)
            return True  # the store also knows which of its events wait
        interrupted = merge_records(record, stored)
        recovered = await _settle(interrupted, call, context, turn)
        if recovered is None:
            return False
        record, outcome, erased = recovered
        context.observe(CallRecovered(record, outcome, interrupted))
        if erased:
            context.journal.stored(record.call_id)
            return True
    put = await _put(record, context)
    if put is _Put.FAILED:
        context.journal.unstored(record)
        return True
    if put is _Put.WRITTEN:  # else the other node reports the events
        context.observe(RecordRecovered(record))
    context.journal.stored(record.call_id)
    return True


async def _settle(record: CallRecord, call: Unfinished, context: CallContext, turn: _Turn) -> _Recovered | None:
    """Signal the contact unless that is impossible or too late, and close the record; return None if it waits."""
    project = context.config.find_voice_project(record.client, record.project)
    reason = turn.cause.reason
    signal = call.signal or recorded_signal(record)
    if signal is not None:
        result = SIGNAL_OUTCOMES[signal].result
        if was_taken_back(record):
            # The Signal was that of the earlier handoff, and none says how the rest of the call went.
            signal, result = SignalResult.DUPLICATE, Result.INDETERMINATE
        return _Recovered(close_record(record, signal, result, reason), Outcome(result, SIGNALLED_BEFORE))
    if record.ended_at is not None:
        return _unsignalled(record, BYE_UNKNOWN, reason) if call.bye_unknown else _hung_up_before(record, reason)
    if project is None:
        return _unsignalled(record, PROJECT_GONE, reason)
    if turn.cause.may_be_old and (now() - record.started_at).total_seconds() > project.max_call_seconds:
        return _unsignalled(record, TOO_OLD, reason)
    return await _hand_off(record, call, project, context, turn)


async def _hand_off(
    record: CallRecord, call: Unfinished, project: VoiceProjectConfig, context: CallContext, turn: _Turn
) -> _Recovered | None:
    """Hand the caller off by a Signal, and close the record; return None if the call waits."""
    reason = turn.cause.reason
    plan = make_plan(project.handoff, HandoffRequest(reason=reason))
    record = begin_handoff(record, plan)
    if not plan.signal:
        return _unsignalled(record, NO_SIGNAL, reason)
    visible = await _put(record, context) is not _Put.FAILED
    parameters = signal_parameters(project.handoff, record, plan, call.headers, context.pop_url)
    record = with_handoff(record, parameters=parameters)
    sent = await _signal(record, project, parameters, context, turn)
    if turn.cause.may_wait and sent is SignalResult.UNDELIVERED:
        return None
    # That takes a minute if CXone is down. A record that was erased meanwhile must not come back.
    erased = visible and await _is_erased(record, context)
    outcome = SIGNAL_OUTCOMES[sent]
    return _Recovered(close_record(record, sent, outcome.result, reason), outcome, erased)


def _hung_up_before(record: CallRecord, reason: str) -> _Recovered:
    handoff = record.handoff
    if record.ended_by == "bridge" and handoff is not None and is_in_progress(handoff) and handoff.parameters:
        # The bridge had tried to signal the contact, and ended the call as that had failed.
        outcome = SIGNAL_OUTCOMES[SignalResult.UNDELIVERED]
        return _Recovered(close_record(record, SignalResult.UNDELIVERED, outcome.result, reason), outcome)
    reason = CALLER_HUNG_UP.reason if record.ended_by == "caller" else reason
    return _Recovered(close_record(record, None, HUNG_UP_BEFORE.result, reason), HUNG_UP_BEFORE)


def _unsignalled(record: CallRecord, outcome: Outcome, reason: str) -> _Recovered:
    return _Recovered(close_record(record, None, outcome.result, reason), outcome)


async def _signal(
    record: CallRecord, project: VoiceProjectConfig, parameters: dict[str, str], context: CallContext, turn: _Turn
) -> SignalResult:
    """Signal the contact, unless that was done through another of its calls."""
    async with turn.contact.lock:
        if turn.contact.signalled:
            return SignalResult.DUPLICATE
        result = await _signal_until_delivered(record, project, parameters, context, turn)
        turn.contact.signalled = result is not SignalResult.UNDELIVERED
        return result


async def _signal_until_delivered(
    record: CallRecord,
    project: VoiceProjectConfig,
    parameters: dict[str, str],
    context: CallContext,
    turn: _Turn,
) -> SignalResult:
    """Send the Signal, and send it again while it certainly does not arrive, unless the call may wait for that."""
    began_at = time.monotonic()
    others = [call_id for call_id in turn.contact.calls if call_id != record.call_id]
    tries = 1 if turn.cause.may_wait else TRIES
    for last in (*[False] * (tries - 1), True):
        async with turn.client:
            sending = asyncio.ensure_future(Signal(context, record, parameters, others=others).send())
            try:
                await wait_any(sending)
            finally:
                # Awaited even if the bridge is being stopped: the next start depends on the result.
                result = await sending
        waited = time.monotonic() - began_at
        if last or result is not SignalResult.UNDELIVERED or waited > project.max_call_seconds:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    if result is not SignalResult.UNDELIVERED or not turn.cause.may_wait:
        seconds = time.monotonic() - began_at
        context.observe(SignalSent(record, turn.cause.purpose, SIGNAL_OUTCOMES[result], seconds))
    return result


async def _stored(record: CallRecord, context: CallContext) -> CallRecord | None:
    try:
        async with _store_limit():
            return await context.store.get(record.client, record.project, record.call_id)
    except StoreError as error:
        context.observe(StoreFailed(record, str(error)))
        return None


async def _is_erased(record: CallRecord, context: CallContext) -> bool:
    try:
        async with _store_limit():
            return await context.store.get(record.client, record.project, record.call_id) is None
    except StoreError:
        return False


async def _put(record: CallRecord, context: CallContext) -> _Put:
    try:
        async with _store_limit():
            await context.store.put(record)
    except CallTakenOver:
        return _Put.SUPERSEDED
    except StoreError as error:
        context.observe(StoreFailed(record, str(error)))
        return _Put.FAILED
    return _Put.WRITTEN


@asynccontextmanager
async def _store_limit() -> AsyncIterator[None]:
    """Raise `StoreError` after `STORE_SECONDS`."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            yield
    except TimeoutError:
        raise StoreError("the store took too long") from None
