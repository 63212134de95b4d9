"""The spans of a chat, made from its events: each stage when it ends, and the whole chat at its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sipbridge.chats.events import ChatAgentJoined, ChatEnded, ChatMessageRelayed, ChatQueued, ChatTelemetry
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.telemetry.traces.span import Span, SpanMaker, between, just_ended
from sipbridge.trace_context import TraceContext

_DELIVERIES = {
    DeliveryStatus.DELIVERED: Result.SUCCESS,
    DeliveryStatus.FAILED: Result.UPSTREAM_ERROR,
    DeliveryStatus.UNKNOWN: Result.INDETERMINATE,
}


class ChatTraces:
    """An observer of chats that gives their spans to `export`. It keeps no state.

    A chat that moves to another node, or that a restart resumes, stays one trace. The node that ends it sends its root.
    """

    def __init__(self, export: Callable[[Span], None]) -> None:
        self._export = export

    def __call__(self, event: ChatTelemetry, /) -> None:
        """Make the spans that end with an event."""
        match event:
            case ChatQueued(record):
                self._export(_of(record).stage("start", between(record.started_at, record.queued_at), kind="client"))
            case ChatAgentJoined(record):
                times = between(record.queued_at or record.started_at, record.active_at)
                self._export(_of(record).stage("queue", times))
            case ChatMessageRelayed(record, direction, status, seconds):
                outcome = Outcome(_DELIVERIES[status], status.value)
                more = {"sipbridge.chat.direction": direction}
                self._export(_of(record).stage("relay", just_ended(seconds), outcome, more, kind="client"))
            case ChatEnded(record, decided_at):
                self._ended(record, decided_at)

    def _ended(self, record: ChatRecord, decided_at: datetime | None) -> None:
        maker = _of(record)
        if record.active_at is not None:
            self._export(maker.stage("conversation", between(record.active_at, decided_at or record.ended_at)))
        if decided_at is not None:
            self._export(maker.stage("end", between(decided_at, record.ended_at), kind="client"))
        outcome = Outcome(record.result, record.reason) if record.result else None
        more = {"sipbridge.chat.state": record.state.value, "sipbridge.ended_by": record.ended_by or "bridge"}
        self._export(maker.root("chat", between(record.started_at, record.ended_at), outcome, more))


def _of(record: ChatRecord) -> SpanMaker:
    ids = {
        "sipbridge.chat_id": record.chat_id,
        "sipbridge.client": record.client,
        "sipbridge.project": record.project,
        "sipbridge.channel": record.channel,
    }
    return SpanMaker(TraceContext.of(record.uid), ids)
