from __future__ import annotations

from datetime import timedelta

import pytest

from sipbridge.calls.events import (
    AgentConnected,
    AgentFault,
    CallAnswered,
    CallEnded,
    CallRecovered,
    CallStarted,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    InviteAnswered,
    RecordRecovered,
    SignalSent,
    StoreFailed,
    TakeBackDone,
    TransferDone,
    TurnsAdded,
)
from sipbridge.calls.model import CallState
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.web.operators import timelines
from sipbridge.web.operators.timelines import Timelines
from tests.store.records import START, make_handoff, make_record

DONE = Outcome(Result.SUCCESS, "handed_off")
TURNS = [{"role": "caller", "text": "my number is 4111"}]


def test_a_timeline_has_each_step_once_with_its_outcome() -> None:
    kept = Timelines()
    record = make_record(transcript=TURNS)
    handed = record.changed(handoff=make_handoff(data={"card": "4111"}, utterance="4111"))
    ended = handed.changed(state=CallState.ENDED, ended_by="caller", ended_at=START + timedelta(seconds=60))
    for event in (
        InviteAnswered(200, "", "x", "192.0.2.1"),
        CallStarted(record),
        AgentConnected(record, "websocket", Outcome(Result.SUCCESS, "connected")),
        CallAnswered(record, 0.25),
        TurnsAdded(record),
        TurnsAdded(record),
        AgentFault(record, "websocket", "bad_handoff", "it said 4111", "destination: no such destination"),
        HandoffStarted(handed),
        HandoffStage(handed, "store", 0.5, DONE),
        HandoffStage(handed, "signal", 0.75, DONE),
        SignalSent(handed, "handoff", Outcome(Result.SUCCESS, "accepted"), 0.75),
        TransferDone(handed, "release", Outcome(Result.SUCCESS, "released"), 200, 1.0),
        HandoffFinished(handed, "release", DONE, 2.0),
        CallEnded(ended, DONE, 60.0),
        RecordRecovered(ended),
    ):
        kept(event)
    timeline = kept.find("call-1")
    assert timeline is not None
    assert [(each.step, each.result, each.reason, each.detail, each.seconds) for each in timeline.steps] == [
        ("call_started", None, "", "", None),
        ("agent_connection", Result.SUCCESS, "connected", "websocket", None),
        ("call_answered", None, "", "", 0.25),
        ("conversation", None, "", "", None),
        ("agent_fault", None, "", "destination: no such destination", None),
        ("handoff_started", None, "", "care: asked_for_human", None),
        ("store", Result.SUCCESS, "handed_off", "", 0.5),
        ("signal", Result.SUCCESS, "accepted", "handoff", 0.75),
        ("transfer", Result.SUCCESS, "released", "release", 1.0),
        ("handoff_finished", Result.SUCCESS, "handed_off", "release", 2.0),
        ("call_ended", Result.SUCCESS, "handed_off", "caller", 60.0),
    ]
    assert "4111" not in repr(timeline)
    assert list(kept.ended(5)) == [timeline]


def test_a_timeline_shows_that_the_agent_got_its_caller_back() -> None:
    kept, record = Timelines(), make_record()
    kept(CallStarted(record))
    kept(TakeBackDone(record, Outcome(Result.SUCCESS, "taken_back"), 20.0))
    timeline = kept.find("call-1")
    assert timeline is not None
    last = timeline.steps[-1]
    assert (last.step, last.result, last.reason, last.seconds) == ("take_back", Result.SUCCESS, "taken_back", 20.0)


def test_the_last_calls_that_ended_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MAX_ENDED", 2)
    kept = Timelines()
    records = [make_record(f"call-{number}") for number in range(4)]
    for record in records:
        kept(CallStarted(record))
    for record in records[:3]:
        kept(CallEnded(record, DONE, 1.0))
    assert [each.record.call_id for each in kept.ended(5)] == ["call-2", "call-1"]
    assert [each.record.call_id for each in kept.ended(1)] == ["call-2"]
    assert [kept.find(record.call_id) is not None for record in records] == [False, True, True, True]
    kept(StoreFailed(records[0], "late"))
    assert kept.find("call-0") is None, "what comes after the end would be kept for ever"


def test_a_call_that_was_recovered_has_ended() -> None:
    kept = Timelines()
    record = make_record()
    kept(CallRecovered(record, Outcome(Result.SERVER_ERROR, "crashed"), record))
    (timeline,) = kept.ended(5)
    assert [each.step for each in timeline.steps] == ["call_recovered"]


def test_a_call_with_many_faults_has_a_limit_and_shows_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MAX_STEPS", 3)
    kept, record = Timelines(), make_record()
    kept(CallStarted(record))
    for _ in range(9):
        kept(AgentFault(record, "sip", "x" * 1000, ""))
    kept(CallEnded(record, DONE, 1.0))
    timeline = kept.find("call-1")
    assert timeline is not None
    assert [each.step for each in timeline.steps] == ["call_started", "agent_fault", "call_ended"]
    assert len(timeline.steps[1].detail) == timelines.MAX_TEXT
