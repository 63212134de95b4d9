"""A busy bridge, as operators would see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sipbridge.calls.events import (
    AgentConnected,
    CallAnswered,
    CallEnded,
    CallStarted,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    SignalSent,
    TokenRequested,
    TransferDone,
    TurnsAdded,
)
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.chats.events import ChatEnded
from sipbridge.chats.model import ChatState
from sipbridge.chats.request import ChatRequest
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.web import LastHour
from tests.store.chats.chats import make_chat
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge

CONNECTED = Outcome(Result.SUCCESS, "connected")
HANDED_OFF = Outcome(Result.SUCCESS, "handed_off")
ACCEPTED = Outcome(Result.SUCCESS, "accepted")
AGENT_LOST = Outcome(Result.UPSTREAM_ERROR, "agent_lost")


def call(call_id: str, seconds: float, **changes: Any) -> CallRecord:  # noqa: ANN401 (any field)
    """A call that began so many seconds ago."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    fields = {"started_at": began, "answered_at": began + timedelta(seconds=1), "contact_id": f"11550012{call_id[-4:]}"}
    return make_record(call_id, **fields | changes)


def hand_off(hour: LastHour, record: CallRecord) -> CallRecord:
    """Let a call that has started be handed off and end; return its last record."""
    handed = record.changed(state=CallState.HANDING_OFF, handoff=make_handoff(reason="refund_requested"))
    ended = handed.changed(state=CallState.ENDED, ended_at=datetime.now(UTC), ended_by="caller")
    for event in (
        HandoffStarted(handed),
        HandoffStage(handed, "store", 0.012, Outcome(Result.SUCCESS, "done")),
        SignalSent(handed, "handoff", ACCEPTED, 0.184),
        TransferDone(handed, "release", Outcome(Result.SUCCESS, "released_by_peer"), 200, 0.941),
        HandoffFinished(handed, "release", HANDED_OFF, 1.21),
        CallEnded(ended, HANDED_OFF, 73.2),
    ):
        hour(event)
    return ended


def start(hour: LastHour, record: CallRecord) -> CallRecord:
    """Let a call start and talk to its agent."""
    hour(CallStarted(record))
    hour(AgentConnected(record, "websocket", CONNECTED))
    hour(CallAnswered(record, 0.42))
    hour(TurnsAdded(record))
    return record


async def fill(bridge: Bridge) -> None:
    """Give the bridge calls and chats in progress, and an hour behind it."""
    hour = bridge.last_hour
    for number in range(37):
        hand_off(hour, start(hour, call(f"call-{1000 + number}", 120 + number)))
    for number in range(3):
        lost = start(hour, call(f"call-{2000 + number}", 300 + number, project="sales"))
        hour(CallEnded(lost.changed(ended_at=datetime.now(UTC), ended_by="agent"), AGENT_LOST, 12.0))
        hour(AgentConnected(lost, "sip", Outcome(Result.UPSTREAM_ERROR, "no_answer")))
    for result in (Result.SUCCESS, Result.SUCCESS):
        hour(TokenRequested("acme", result, 0.2))
    for state, reason in ((ChatState.ENDED, "closed"), (ChatState.TIMED_OUT, "queue_timeout")):
        result = Result.SUCCESS if state is ChatState.ENDED else Result.UPSTREAM_ERROR
        hour.observe_chat(ChatEnded(make_chat(state=state, result=result, reason=reason)))
    talking = [call(f"call-{3000 + number}", 7 + 31 * number) for number in range(5)]
    handoff = make_handoff(reason="refund_requested", handoff_at=datetime.now(UTC))
    for record in (*talking, call("call-3100", 95, state=CallState.HANDING_OFF, handoff=handoff)):
        bridge.directory.add(start(hour, record))
    for chat_id in ("conversation-17", "conversation-18"):
        await bridge.fake_chats.reception.start("acme", "billing", ChatRequest(id=chat_id, reason="order_status"))
    bridge.admin_controls.calls = len(bridge.directory.calls)
    bridge.admin_controls.chats = 2
