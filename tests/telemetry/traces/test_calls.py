from __future__ import annotations

from datetime import timedelta
from time import time_ns

import pytest

from sipbridge.calls.events import (
    AgentConnected,
    CallEnded,
    CallEvent,
    CallRecovered,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    SignalAttempted,
    SignalSent,
    TransferDone,
)
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.telemetry.traces.calls import CallTraces
from sipbridge.telemetry.traces.span import Span
from sipbridge.trace_context import TraceContext
from tests.store.records import START, make_handoff, make_record
from tests.telemetry.events import ENDED, NO_ANSWER, OK, SECRETS, whole_call

TRACE = TraceContext.of(ENDED.call_id)
SECOND = 1_000_000_000
START_NS = round(START.timestamp()) * SECOND


def spans_of(*events: CallEvent) -> list[Span]:
    found: list[Span] = []
    traces = CallTraces(found.append)
    for event in events:
        traces(event)
    return found


def seconds(span: Span) -> tuple[float, float]:
    """The start and the end, from the start of the call."""
    start, end = span.times
    return (start - START_NS) / SECOND, (end - START_NS) / SECOND


def test_a_call_has_a_span_for_each_stage_below_the_handoff_or_the_call() -> None:
    spans = spans_of(*whole_call())
    handoff = TRACE.derived_id("handoff")
    assert [(span.name, span.parent_id) for span in spans] == [
        ("agent", TRACE.span_id),
        ("setup", TRACE.span_id),
        ("conversation", TRACE.span_id),
        ("play_out", handoff),
        ("utterance", handoff),
        ("store", handoff),
        ("signal", handoff),
        ("transfer", handoff),
        ("handoff", TRACE.span_id),
        ("call", None),
    ]
    assert {span.trace_id for span in spans} == {TRACE.trace_id}
    assert {span.name: span.span_id for span in spans if span.span_id} == {
        "signal": TRACE.derived_id("signal"),
        "handoff": handoff,
        "call": TRACE.span_id,
    }


def test_a_handoff_after_a_take_back_has_a_span_of_its_own() -> None:
    taken_back = make_handoff(
        handoff_at=START + timedelta(seconds=30),
        finished_at=START + timedelta(seconds=60),
        state=HandoffState.FAILED,
        taken_back=True,
    )
    talking = make_record(answered_at=START + timedelta(seconds=1))
    second = make_handoff(handoff_at=START + timedelta(seconds=70), finished_at=START + timedelta(seconds=71))
    again = talking.changed(handoff=second, earlier_handoff=taken_back)
    spans = spans_of(
        HandoffFinished(talking.changed(handoff=taken_back), "release", OK, 30.0),
        HandoffStarted(again),
        HandoffStage(again, "store", 0.1, OK),
        HandoffFinished(again, "release", OK, 1.0),
    )
    first, conversation, store, last = spans
    assert (conversation.name, seconds(conversation)) == ("conversation", (60, 70))
    assert first.span_id != last.span_id == store.parent_id


def test_the_conversation_after_a_take_back_has_a_span() -> None:
    handoff = make_handoff(finished_at=START + timedelta(seconds=60), taken_back=True)
    ended = make_record(handoff=handoff, answered_at=START, ended_at=START + timedelta(seconds=80))
    conversation, _ = spans_of(CallEnded(ended, OK, 80.0))
    assert (conversation.name, seconds(conversation)) == ("conversation", (60, 80))


def test_times_are_those_of_the_record() -> None:
    times = {span.name: seconds(span) for span in spans_of(*whole_call())}
    expected = {"setup": (0, 0.25), "conversation": (0.25, 30), "handoff": (30, 31.5), "call": (0, 42)}
    assert {name: times[name] for name in expected} == expected


def test_a_stage_that_just_ended_began_before_by_its_duration() -> None:
    before = time_ns()
    (span,) = spans_of(HandoffStage(ENDED, "utterance", 2.0, OK))
    start, end = span.times
    assert before <= end <= time_ns()
    assert end - start == 2 * SECOND


def test_a_call_without_a_handoff_ends_with_its_conversation() -> None:
    record = ENDED.changed(handoff=None)
    spans = spans_of(CallEnded(record, OK, 42.0))
    assert [(span.name, *seconds(span)) for span in spans] == [("conversation", 0.25, 42), ("call", 0, 42)]


def test_a_call_that_was_never_answered_has_no_conversation() -> None:
    record = make_record(ended_at=START + timedelta(seconds=1))
    assert [span.name for span in spans_of(CallEnded(record, NO_ANSWER, 1.0))] == ["call"]


def test_a_leg_that_ends_before_its_handoff_is_over_does_not_cut_the_call_off() -> None:
    record = ENDED.changed(ended_at=START + timedelta(seconds=31))
    (call,) = spans_of(CallEnded(record, OK, 31.0))
    assert seconds(call) == (0, 31.5)


def test_a_recovered_call_gets_the_spans_that_its_run_could_not_send() -> None:
    handing_off = ENDED.changed(handoff=make_handoff())
    outcome = Outcome(Result.INDETERMINATE, "bridge_restarted")
    *_, call = spans = spans_of(CallRecovered(ENDED, outcome, handing_off))
    assert [span.name for span in spans] == ["handoff", "call"]
    assert call.attributes["sipbridge.recovered"] is True
    talking = ENDED.changed(handoff=None)
    assert [span.name for span in spans_of(CallRecovered(talking, OK, talking))] == ["conversation", "call"]


def test_a_recovered_conversation_lasts_until_the_handoff_of_the_recovery() -> None:
    conversation, handoff, _ = spans_of(CallRecovered(ENDED, OK, ENDED.changed(handoff=None)))
    assert (conversation.name, seconds(conversation)) == ("conversation", (0.25, 30))
    assert (handoff.name, seconds(handoff)) == ("handoff", (30, 31.5))
    journalled = ENDED.changed(handoff=None, answered_at=None)
    conversation, *_ = spans_of(CallRecovered(ENDED.changed(answered_at=None), OK, journalled))
    assert (conversation.name, seconds(conversation)) == ("conversation", (0, 30))


def test_a_handoff_that_had_finished_before_the_crash_has_one_span() -> None:
    joined = ENDED.changed(ended_at=None)
    assert [span.name for span in spans_of(CallRecovered(ENDED, OK, joined))] == ["call"]
    taken_back = make_handoff(state=HandoffState.FAILED, finished_at=START + timedelta(seconds=35), taken_back=True)
    talking = joined.changed(handoff=taken_back)
    conversation, call = spans_of(CallRecovered(ENDED.changed(handoff=taken_back), OK, talking))
    assert (conversation.name, seconds(conversation), call.name) == ("conversation", (35, 42), "call")


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Result.SUCCESS, ""),
        (Result.CLIENT_ERROR, ""),
        (Result.INDETERMINATE, ""),
        (Result.UPSTREAM_ERROR, "why"),
        (Result.SERVER_ERROR, "why"),
    ],
)
def test_a_failure_of_a_peer_or_of_the_bridge_is_an_error(result: Result, error: str) -> None:
    outcome = Outcome(result, "why")
    for event in (
        AgentConnected(ENDED, "sip", outcome),
        SignalSent(ENDED, "handoff", outcome, 0.1),
        TransferDone(ENDED, "refer", outcome, 603, 0.1),
        CallEnded(ENDED, outcome, 1.0),
    ):
        (span,) = spans_of(event)
        assert (span.error, span.attributes["sipbridge.result"]) == (error, result.value)


def test_the_signal_of_a_conversation_without_a_handoff_is_a_stage_of_the_call() -> None:
    (span,) = spans_of(SignalSent(ENDED.changed(handoff=None), "end", OK, 0.1))
    assert span.parent_id == TRACE.span_id
    assert span.attributes["sipbridge.signal.purpose"] == "end"


def test_an_attempt_is_a_stage_of_its_signal() -> None:
    outcome = Outcome(Result.UPSTREAM_ERROR, "signal_undelivered")
    attempt, signal = spans_of(SignalAttempted(ENDED, outcome, 0.1), SignalSent(ENDED, "handoff", OK, 0.3))
    assert (attempt.name, attempt.error) == ("attempt", "signal_undelivered")
    assert attempt.parent_id == signal.span_id


def test_a_transfer_has_its_method_and_the_status_that_the_peer_sent() -> None:
    sent, unsent = TransferDone(ENDED, "refer", NO_ANSWER, 603, 1.0), TransferDone(ENDED, "refer", OK, 0, 1.0)
    refused, unknown = spans_of(sent, unsent)
    assert (refused.attributes["sipbridge.transfer.method"], refused.attributes["sip.status_code"]) == ("refer", 603)
    assert "sip.status_code" not in unknown.attributes


def test_no_span_holds_a_number_or_what_was_said() -> None:
    shown = repr(spans_of(*whole_call(), CallRecovered(ENDED, OK, ENDED), HandoffStarted(ENDED)))
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_foreign_call_id_is_cut() -> None:
    (span,) = spans_of(AgentConnected(make_record(sip_call_id="x" * 5000), "sip", OK))
    assert span.attributes["sip.call_id"] == "x" * 128
