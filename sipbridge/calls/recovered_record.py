"""The record of a call that is recovered: what is known of it, and how it is closed."""

from __future__ import annotations

from dataclasses import replace

from sipbridge.calls.call import now
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.lifecycle import finish_handoff, is_in_progress, start_handoff
from sipbridge.handoffs.outcome import Result


def merge_records(journalled: CallRecord, stored: CallRecord | None) -> CallRecord:
    """Return the store's record with what only the journal knows: the end of the leg, the Signal's parameters.

    Either may have a later handoff than the other, or more turns.
    """
    if stored is None:
        return journalled
    transcript = max(journalled.transcript, stored.transcript, key=len)
    record = stored.changed(ended_at=journalled.ended_at, ended_by=journalled.ended_by, transcript=transcript)
    handoff, known = journalled.handoff, stored.handoff
    if handoff is None or (known is not None and known.handoff_at > handoff.handoff_at):
        return record
    if known is None or known.handoff_at < handoff.handoff_at:
        return journalled.changed(transcript=transcript)
    return record if known.parameters else with_handoff(record, parameters=handoff.parameters)


def recorded_signal(record: CallRecord) -> SignalResult | None:
    """Return the result of a Signal that may have reached CXone, by the record: one that went out without a claim."""
    found = {handoff.signal for handoff in (record.earlier_handoff, record.handoff) if handoff is not None}
    arrived = (SignalResult.ACCEPTED, SignalResult.REFUSED, SignalResult.UNKNOWN)
    return next((result for result in arrived if result in found), None)


def was_taken_back(record: CallRecord) -> bool:
    """True if an agent got the caller back. Then the handoff in progress, if any, sent no Signal."""
    return any(handoff is not None and handoff.taken_back for handoff in (record.earlier_handoff, record.handoff))


def begin_handoff(record: CallRecord, plan: HandoffPlan) -> CallRecord:
    """Start the handoff in the record. What an agent sent with an earlier one is kept for the human agent."""
    handoff = start_handoff(
        # The dialog no longer exists: nothing but the Signal can move the caller.
        replace(plan, method="release"),
        shared_id=record.shared_id,
        requested_by="bridge",
        at=now(),
        earlier=record.handoff,
    )
    return record.changed(state=CallState.HANDING_OFF, handoff=handoff)


def close_record(record: CallRecord, signal: SignalResult | None, result: Result, reason: str) -> CallRecord:
    """Give the record its final state. CXone's BYE after an accepted Signal confirms a `release`."""
    handoff = record.handoff
    if handoff is not None and is_in_progress(handoff):
        accepted = signal is SignalResult.ACCEPTED
        confirmed = accepted and handoff.method == "release" and record.ended_by == "caller"
        handoff = finish_handoff(handoff, completed=accepted, confirmed=confirmed, at=now())
        handoff = handoff.changed(signal=signal.value if signal else "none")
    return record.changed(
        state=CallState.ENDED,
        ended_at=record.ended_at or now(),
        ended_by=record.ended_by or "bridge",
        result=result,
        reason=reason,
        handoff=handoff,
    )


def with_handoff(record: CallRecord, **changes: object) -> CallRecord:
    """Return the record with changes of its handoff, if there is one."""
    handoff = record.handoff
    return record.changed(handoff=handoff.changed(**changes)) if handoff else record
