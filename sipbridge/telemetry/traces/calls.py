"""The spans of a call, made from its events: each stage when it ends, and the whole call at its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sipbridge.calls.events import (
    AgentConnected,
    CallAnswered,
    CallEnded,
    CallRecovered,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    SignalAttempted,
    SignalSent,
    TransferDone,
)
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.observer import SelectiveObserver
from sipbridge.handoffs.lifecycle import is_in_progress
from sipbridge.handoffs.outcome import Outcome
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.telemetry.traces.span import Attributes, Span, SpanMaker, between, just_ended
from sipbridge.trace_context import TraceContext

_MAX_FOREIGN_CHARACTERS = 128  # of the Call-ID, which the trunk has chosen
_REPORTED_BY_OTHERS = ("signal", "transfer")  # by SignalSent and TransferDone, which say more


class CallTraces(SelectiveObserver):
    """An `Observer` that gives the spans of calls to `export`. It keeps no state.

    As in the call log, spans have ids, fixed words and times only.
    """

    def __init__(self, export: Callable[[Span], None]) -> None:
        self._export = export
        super().__init__(
            {
                AgentConnected: self._agent_connected,
                CallAnswered: self._answered,
                HandoffStarted: self._handoff_started,
                HandoffStage: self._handoff_stage,
                SignalAttempted: self._signal_attempted,
                SignalSent: self._signal_sent,
                TransferDone: self._transfer_done,
                HandoffFinished: self._handoff_finished,
                CallEnded: self._ended,
                CallRecovered: self._recovered,
            }
        )

    def _agent_connected(self, event: AgentConnected) -> None:
        times = between(event.record.started_at)
        more = {"sipbridge.agent.type": event.agent_type}
        self._export(_of(event.record).stage("agent", times, event.outcome, more, kind="client"))

    def _answered(self, event: CallAnswered) -> None:
        times = between(event.record.started_at, event.record.answered_at)
        self._export(_of(event.record).stage("setup", times))

    def _handoff_started(self, event: HandoffStarted) -> None:
        if event.record.handoff is not None:
            self._conversation(event.record, event.record.handoff.handoff_at)

    def _handoff_stage(self, event: HandoffStage) -> None:
        if event.stage not in _REPORTED_BY_OTHERS:
            times = just_ended(event.seconds)
            self._export(_of(event.record).stage(event.stage, times, event.outcome, under="handoff"))

    def _signal_attempted(self, event: SignalAttempted) -> None:
        times = just_ended(event.seconds)
        self._export(_of(event.record).stage("attempt", times, event.outcome, kind="client", under="signal"))

    def _signal_sent(self, event: SignalSent) -> None:
        under = "handoff" if event.record.handoff is not None else None
        more = {"sipbridge.signal.purpose": event.purpose}
        times = just_ended(event.seconds)
        span = _of(event.record).stage(
            "signal", times, event.outcome, more, kind="client", under=under, has_stages=True
        )
        self._export(span)

    def _transfer_done(self, event: TransferDone) -> None:
        more: dict[str, str | int] = {"sipbridge.transfer.method": event.method}
        if event.sip_status:
            more["sip.status_code"] = event.sip_status
        times = just_ended(event.seconds)
        self._export(_of(event.record).stage("transfer", times, event.outcome, more, kind="client", under="handoff"))

    def _handoff_finished(self, event: HandoffFinished) -> None:
        if event.record.handoff is not None:
            self._handoff(event.record, event.record.handoff, event.outcome)

    def _ended(self, event: CallEnded) -> None:
        if event.record.handoff is None or event.record.handoff.taken_back:
            self._conversation(event.record, event.record.ended_at)
        self._call(event.record, event.outcome, {})

    def _recovered(self, event: CallRecovered) -> None:
        """Send the spans that the run which crashed could not send: of what was in progress, and of the recovery.

        A handoff that had finished has its span, whose id another one must not have.
        """
        record, before = event.record, event.interrupted.handoff
        begun = record.handoff if before is None else None
        if before is None or before.taken_back:
            # The journal has a call before its 200, whose time the crash may have lost.
            answered_at = event.interrupted.answered_at or record.started_at
            talking = event.interrupted.changed(answered_at=answered_at)
            self._conversation(talking, begun.handoff_at if begun else record.ended_at)
        if record.handoff is not None and (before is None or is_in_progress(before)):
            self._handoff(record, record.handoff, event.outcome)
        self._call(record, event.outcome, {"sipbridge.recovered": True})

    def _conversation(self, record: CallRecord, until: datetime | None) -> None:
        since = record.answered_at
        for handoff in (record.earlier_handoff, record.handoff):
            if handoff is not None and handoff.taken_back:
                since = handoff.finished_at
        if since is not None:
            self._export(_of(record).stage("conversation", between(since, until)))

    def _handoff(self, record: CallRecord, handoff: HandoffRecord, outcome: Outcome) -> None:
        more = {
            "sipbridge.handoff.state": handoff.state.value,
            "sipbridge.handoff.destination": handoff.destination,
            "sipbridge.handoff.method": handoff.method,
            "sipbridge.handoff.requested_by": handoff.requested_by,
            "sipbridge.handoff.confirmed": bool(handoff.confirmed),
        }
        times = between(handoff.handoff_at, handoff.finished_at)
        self._export(_of(record).stage("handoff", times, outcome, more, has_stages=True))

    def _call(self, record: CallRecord, outcome: Outcome, more: Attributes) -> None:
        # The leg may have ended before the handoff could take note of it.
        finished_at = record.handoff.finished_at if record.handoff is not None else None
        ends = [each for each in (record.ended_at, finished_at) if each is not None]
        times = between(record.started_at, max(ends, default=None))
        more = {**more, "sipbridge.ended_by": record.ended_by or "bridge"}
        self._export(_of(record).root("call", times, outcome, more))


def _of(record: CallRecord) -> SpanMaker:
    ids = {
        "sipbridge.call_id": record.call_id,
        "sipbridge.client": record.client,
        "sipbridge.project": record.project,
        "sipbridge.contact_id": record.contact_id,
        "sip.call_id": record.sip_call_id[:_MAX_FOREIGN_CHARACTERS],
    }
    return SpanMaker(TraceContext.of(record.call_id), ids, " again" if record.earlier_handoff else "")
