"""After a crash or a loss of power: whoever was talking to an agent then is signalled to a human, once.

The dialogs of those calls are gone, so the Signal is all that can be done, and all that is needed: the Studio script
that holds the caller goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sipbridge.aio import wait_any
from sipbridge.calls.call import now
from sipbridge.calls.context import CallContext
from sipbridge.calls.events import CallRecovered, SignalSent, StoreFailed
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.parameters import signal_parameters
from sipbridge.calls.ports import SignalResult, Unfinished
from sipbridge.calls.signal import SIGNAL_OUTCOMES, Signal
from sipbridge.config import ProjectConfig
from sipbridge.errors import StoreError
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest

logger = logging.getLogger(__name__)

RESTARTED = "bridge_restarted"
AT_ONCE = 20
# The network may come up after us.
TRIES = 12
PAUSE_SECONDS = 5.0


async def recover(left: Sequence[Unfinished], context: CallContext) -> None:
    """Make good what an earlier run left open. What is not done when this is cancelled waits for the next start."""
    level = logging.WARNING if left else logging.INFO
    extra = {"event": "recovery_began", "calls": len(left)}
    logger.log(level, "calls that the last run left open: %d", len(left), extra=extra)
    # Of each client: one whose CXone is down keeps no other's callers waiting.
    turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
    contacts: defaultdict[tuple[str, str], _Contact] = defaultdict(_Contact)

    async def make_good(call: Unfinished) -> None:
        try:
            client = call.record.client
            await _recover(call, context, _Turn(turns[client], contacts[client, call.record.contact_id]))
        except Exception:
            extra = {"event": "internal_error", "call_id": call.record.call_id}
            logger.exception("a call could not be made good", extra=extra)

    async with asyncio.TaskGroup() as recovering:
        for call in left:
            recovering.create_task(make_good(call))
    logger.info("calls made good: %d", len(left), extra={"event": "recovery_ended", "calls": len(left)})


@dataclass(slots=True)
class _Contact:
    """A contact, of which several calls may have been up: it is signalled through one of them."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    signalled: bool = False


class _Turn(NamedTuple):
    """What a call waits for before its contact is signalled: few at once of a client, one at a time of a contact."""

    client: asyncio.Semaphore
    contact: _Contact


async def _recover(call: Unfinished, context: CallContext, turn: _Turn) -> None:
    record = call.record
    if record.state is not CallState.ENDED:
        # The store may know more: what the agent sent with its handoff, or that all was over but for the journal.
        known = await _stored(record, context)
        if known is not None and known.state is CallState.ENDED:
            context.journal.stored(record.call_id)
            return
        record, outcome, erased = await _make_good(_merged(record, known), call, context, turn)
        context.observe(CallRecovered(record, outcome))
        if erased:
            context.journal.stored(record.call_id)
            return
    if await _put(record, context):
        context.journal.stored(record.call_id)
    else:
        context.journal.unstored(record)


def _merged(journalled: CallRecord, stored: CallRecord | None) -> CallRecord:
    """Return the store's record, with what only the journal knows: the end of the leg, the Signal's parameters."""
    if stored is None:
        return journalled
    record = stored.model_copy(update={"ended_at": journalled.ended_at, "ended_by": journalled.ended_by})
    return _with_handoff(record, parameters=journalled.handoff.parameters) if journalled.handoff else record


class _Good(NamedTuple):
    """A record in its final state, what was done for its contact, and whether somebody erased it meanwhile."""

    record: CallRecord
    outcome: Outcome
    erased: bool = False


async def _make_good(record: CallRecord, call: Unfinished, context: CallContext, turn: _Turn) -> _Good:
    project = context.config.find_project(record.client, record.project)
    if call.signal is not None:
        sent = SIGNAL_OUTCOMES[call.signal]
        return _Good(_closed(record, call.signal, sent.result), Outcome(sent.result, "signalled_before"))
    if record.ended_at is not None:
        # Its contact went on, or is gone.
        reason = "caller_hung_up" if record.ended_by == "caller" else RESTARTED
        return _Good(_closed(record, None, Result.SUCCESS, reason), Outcome(Result.SUCCESS, "hung_up_before"))
    if project is None:
        return _Good(_closed(record, None, Result.SERVER_ERROR), Outcome(Result.SERVER_ERROR, "project_gone"))
    if (now() - record.started_at).total_seconds() > project.max_call_seconds:
        return _Good(_closed(record, None, Result.SERVER_ERROR), Outcome(Result.SERVER_ERROR, "too_old"))
    plan = make_plan(project.handoff, HandoffRequest(reason=RESTARTED))
    record = _handing_off(record, plan)
    if not plan.signal:
        return _Good(_closed(record, None, Result.SERVER_ERROR), Outcome(Result.SERVER_ERROR, "no_signal"))
    shown = await _put(record, context)
    parameters = signal_parameters(project.handoff, record, plan, call.headers, context.pop_url)
    record = _with_handoff(record, parameters=parameters)
    result = await _signal(record, project, parameters, context, turn)
    outcome = SIGNAL_OUTCOMES[result]
    # It takes a minute where CXone is not there, and what was erased in it must not come back.
    erased = shown and await _is_gone(record, context)
    return _Good(_closed(record, result, outcome.result), outcome, erased)


async def _signal(
    record: CallRecord,
    project: ProjectConfig,
    parameters: dict[str, str],
    context: CallContext,
    turn: _Turn,
) -> SignalResult:
    """Signal, unless another call of the contact has done so; again where it certainly did not arrive."""
    async with turn.contact.lock:
        if turn.contact.signalled:
            return SignalResult.DUPLICATE
        result = await _signal_contact(record, project, parameters, context, turn.client)
        turn.contact.signalled = result is not SignalResult.UNDELIVERED
        return result


async def _signal_contact(
    record: CallRecord,
    project: ProjectConfig,
    parameters: dict[str, str],
    context: CallContext,
    turns: asyncio.Semaphore,
) -> SignalResult:
    began = time.monotonic()
    for last in (*[False] * (TRIES - 1), True):
        async with turns:
            sending = asyncio.ensure_future(Signal(context, record, parameters).send())
            try:
                await wait_any(sending)
            finally:
                # Where the bridge is stopped meanwhile as well: what became of it decides what the next start does.
                result = await sending
        waited = time.monotonic() - began
        if last or result is not SignalResult.UNDELIVERED or waited > project.max_call_seconds:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    context.observe(SignalSent(record, "restart", SIGNAL_OUTCOMES[result], time.monotonic() - began))
    return result


def _handing_off(record: CallRecord, plan: HandoffPlan) -> CallRecord:
    """Give the record the handoff that is about to be; what an agent sent with an earlier one is kept for the human."""
    before = record.handoff
    handoff = HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id=record.shared_id,
        destination=plan.destination,
        method="release",
        reason=plan.reason,
        requested_by="bridge",
        utterance=before.utterance if before else "",
        data=before.data if before else {},
        handoff_at=now(),
    )
    return record.model_copy(update={"state": CallState.HANDING_OFF, "handoff": handoff})


def _closed(record: CallRecord, signal: SignalResult | None, result: Result, reason: str = RESTARTED) -> CallRecord:
    """Give the record its final state. A Signal that CXone took confirms a handoff if CXone's BYE was seen after it."""
    if record.handoff is not None and record.handoff.state is HandoffState.INITIATED:
        taken = signal is SignalResult.ACCEPTED
        record = _with_handoff(
            record,
            state=HandoffState.COMPLETED if taken else HandoffState.FAILED,
            signal=signal.value if signal else "none",
            confirmed=taken and record.handoff.method == "release" and record.ended_by == "caller",
            finished_at=now(),
        )
    update = {
        "state": CallState.ENDED,
        "ended_at": record.ended_at or now(),
        "ended_by": record.ended_by or "bridge",
        "result": result,
        "reason": reason,
    }
    return record.model_copy(update=update)


def _with_handoff(record: CallRecord, **changes: object) -> CallRecord:
    handoff = record.handoff
    return record.model_copy(update={"handoff": handoff.model_copy(update=changes)}) if handoff else record


async def _stored(record: CallRecord, context: CallContext) -> CallRecord | None:
    try:
        return await context.store.get(record.client, record.project, record.call_id)
    except StoreError as error:
        context.observe(StoreFailed(record, str(error)))
        return None


async def _is_gone(record: CallRecord, context: CallContext) -> bool:
    try:
        return await context.store.get(record.client, record.project, record.call_id) is None
    except StoreError:
        return False


async def _put(record: CallRecord, context: CallContext) -> bool:
    try:
        await context.store.put(record)
    except StoreError as error:
        context.observe(StoreFailed(record, str(error)))
        return False
    return True
