"""The events of a complete call with a handoff."""

from __future__ import annotations

from datetime import timedelta

from sipbridge.calls.events import (
    AgentConnected,
    AgentFault,
    CallAnswered,
    CallEnded,
    CallEvent,
    CallStarted,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    InviteAnswered,
    SignalSent,
    TransferDone,
)
from sipbridge.calls.model import CallState
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState, Turn
from tests.store.records import START, make_handoff, make_record

OK = Outcome(Result.SUCCESS, "handed_off")
NO_ANSWER = Outcome(Result.UPSTREAM_ERROR, "no_answer")

# Must not be logged at info level or above.
SECRETS = ("+15550001", "+19995550001", "my hovercraft", "Putting you through", "full of eels", "p1-value")

ENDED = make_record(
    state=CallState.ENDED,
    answered_at=START + timedelta(seconds=0.25),
    ended_at=START + timedelta(seconds=42),
    ended_by="caller",
    result=Result.SUCCESS,
    transcript=(Turn(role="caller", text="my hovercraft"), Turn(role="agent", text="oh")),
    handoff=make_handoff(
        state=HandoffState.COMPLETED,
        utterance="Putting you through",
        reason="full of eels",
        data={"subject": "full of eels"},
        parameters={"p1": "p1-value"},
        signal="accepted",
        transfer="released",
        confirmed=True,
        finished_at=START + timedelta(seconds=31.5),
    ),
)


def whole_call() -> list[CallEvent]:
    record = ENDED
    return [
        CallStarted(record),
        AgentConnected(record, "websocket", OK),
        InviteAnswered(200, "answered", record.sip_call_id, "127.0.0.1", record.call_id),
        CallAnswered(record, 0.25),
        AgentFault(record, "websocket", "bad_json", "a frame is no JSON"),
        HandoffStarted(record),
        HandoffStage(record, "play_out", 0.2, OK),
        HandoffStage(record, "utterance", 2.0, OK),
        HandoffStage(record, "store", 0.006, OK),
        SignalSent(record, "handoff", OK, 0.12),
        HandoffStage(record, "signal", 0.12, OK),
        TransferDone(record, "release", OK, 200, 1.0),
        HandoffStage(record, "transfer", 1.0, OK),
        HandoffFinished(record, "release", OK, 1.5),
        CallEnded(record, OK, 42.0),
    ]
