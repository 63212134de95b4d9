from __future__ import annotations

from datetime import datetime, timedelta

from sipbridge.chats.events import (
    ChannelFault,
    ChatAgentJoined,
    ChatEnded,
    ChatMessageRelayed,
    ChatQueued,
    ChatReleased,
    ChatStarted,
    ChatTelemetry,
)
from sipbridge.chats.model import ChatState, DeliveryStatus
from sipbridge.handoffs.outcome import Result
from sipbridge.telemetry.traces.chats import ChatTraces
from sipbridge.telemetry.traces.span import Span
from sipbridge.trace_context import TraceContext
from tests.store.chats.chats import make_chat

CHAT = make_chat()
TRACE = TraceContext.of(CHAT.uid)


def at(seconds: float) -> datetime:
    return CHAT.started_at + timedelta(seconds=seconds)


ENDED = CHAT.changed(
    state=ChatState.ENDED,
    queued_at=at(1),
    active_at=at(20),
    ended_at=at(100),
    ended_by="bot",
    result=Result.SUCCESS,
    reason="bot_ended",
)


def spans_of(*events: ChatTelemetry) -> list[Span]:
    found: list[Span] = []
    traces = ChatTraces(found.append)
    for event in events:
        traces(event)
    return found


def shown(spans: list[Span]) -> list[tuple[str, float, float]]:
    def seconds(time_ns: int) -> float:
        return round(time_ns / 1e9 - CHAT.started_at.timestamp(), 3)

    return [(span.name, seconds(span.times[0]), seconds(span.times[1])) for span in spans]


def test_a_chat_has_a_span_for_each_stage() -> None:
    spans = spans_of(ChatStarted(CHAT), ChatQueued(ENDED), ChatAgentJoined(ENDED, 20), ChatEnded(ENDED, at(99)))
    assert shown(spans) == [
        ("start", 0, 1),
        ("queue", 1, 20),
        ("conversation", 20, 99),
        ("end", 99, 100),
        ("chat", 0, 100),
    ]
    assert {span.trace_id for span in spans} == {TRACE.trace_id}
    assert [span.parent_id for span in spans] == [TRACE.span_id] * 4 + [None]
    assert spans[-1].span_id == TRACE.span_id
    assert spans[-1].attributes["sipbridge.reason"] == "bot_ended"


def test_a_relayed_message_is_a_span_with_its_direction_and_fate() -> None:
    (span,) = spans_of(ChatMessageRelayed(ENDED, "to_agent", DeliveryStatus.FAILED, 0.5))
    assert (span.name, span.times[1] - span.times[0], span.error) == ("relay", 500_000_000, "failed")
    assert span.attributes["sipbridge.chat.direction"] == "to_agent"


def test_every_fate_of_a_message_has_a_result() -> None:
    for status in DeliveryStatus:
        (span,) = spans_of(ChatMessageRelayed(ENDED, "to_bot", status, 0.0))
        assert span.attributes["sipbridge.reason"] == status.value


def test_a_chat_that_no_human_agent_took_has_no_conversation() -> None:
    ended = ENDED.changed(state=ChatState.TIMED_OUT, active_at=None, result=Result.UPSTREAM_ERROR, reason="no_agent")
    *_, root = spans = spans_of(ChatEnded(ended, at(99)))
    assert [span.name for span in spans] == ["end", "chat"]
    assert root.error == "no_agent"


def test_a_chat_that_moves_on_sends_no_end() -> None:
    fault = ChannelFault(CHAT.client, CHAT.project, CHAT.chat_id, CHAT.channel, "silent", "no content")
    assert spans_of(ChatStarted(CHAT, resumed=True), ChatReleased(CHAT), fault) == []
