from __future__ import annotations

import logging
from datetime import timedelta

import pytest

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
from sipbridge.chats.model import ChatRecord, ChatState, Customer, DeliveryStatus, HumanAgent
from sipbridge.handoffs.outcome import Result
from sipbridge.telemetry import ChatLog
from tests.store.chats.chats import make_chat
from tests.store.records import make_handoff

PERSONAL = "something-personal"
CHAT = make_chat(
    customer=Customer(id=PERSONAL, first_name=PERSONAL, last_name=PERSONAL, email=PERSONAL, phone=PERSONAL),
    handoff=make_handoff(utterance=PERSONAL, data={PERSONAL: PERSONAL}),
    custom_fields={"x": PERSONAL},
    agent=HumanAgent(id="7", name=PERSONAL),
)
IDS = {"chat_id": CHAT.chat_id, "client": CHAT.client, "project": CHAT.project, "channel": CHAT.channel}


def ended(**changes: object) -> ChatRecord:
    update = {
        "state": ChatState.ENDED,
        "ended_at": CHAT.started_at + timedelta(seconds=90),
        "ended_by": "agent",
        "result": Result.SUCCESS,
        "reason": "closed",
    }
    return CHAT.model_copy(update=update | changes)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "sipbridge.chat")
    return caplog


def fields_of(line: logging.LogRecord) -> dict[str, object]:
    """Return the fields that the line has beyond those of any line."""
    usual = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime"}
    return {name: value for name, value in line.__dict__.items() if name not in usual}


@pytest.mark.parametrize(
    ("event", "level", "text", "fields"),
    [
        (ChatStarted(CHAT), "INFO", "chat requested", {"event": "chat_requested"}),
        (ChatStarted(CHAT, resumed=True), "INFO", "chat resumed", {"event": "chat_resumed"}),
        (ChatQueued(CHAT), "DEBUG", "chat queued", {"event": "chat_queued"}),
        (
            ChatAgentJoined(CHAT, 12.3456),
            "INFO",
            "human agent joined the chat",
            {"event": "chat_agent_joined", "wait_ms": 12346},
        ),
        (
            ChatMessageRelayed(CHAT, "to_agent", DeliveryStatus.FAILED, 0.5),
            "DEBUG",
            "chat message relayed",
            {"event": "chat_message", "direction": "to_agent", "delivery": "failed", "seconds": 0.5},
        ),
        (ChatReleased(CHAT), "INFO", "chat released for another node", {"event": "chat_released"}),
        (
            ChatEnded(ended()),
            "INFO",
            "chat ended",
            {
                "event": "chat_ended",
                "state": "ended",
                "result": "success",
                "reason": "closed",
                "ended_by": "agent",
                "duration_ms": 90_000,
            },
        ),
    ],
)
def test_each_event_is_a_line_with_ids_and_without_anything_personal(
    lines: pytest.LogCaptureFixture, event: ChatTelemetry, level: str, text: str, fields: dict[str, object]
) -> None:
    ChatLog()(event)
    [line] = lines.records
    assert (line.levelname, line.getMessage(), fields_of(line)) == (level, text, IDS | fields)
    assert PERSONAL not in str(line.__dict__)


async def test_fault_is_a_warning_with_its_word(lines: pytest.LogCaptureFixture) -> None:
    ChatLog()(ChannelFault("acme", "support", "c1", "web", "bad_frame", "a frame is not valid JSON"))
    [line] = lines.records
    assert (line.levelname, line.getMessage()) == ("WARNING", "a frame is not valid JSON")
    assert fields_of(line) == {
        "event": "channel_fault",
        "fault": "bad_frame",
        "client": "acme",
        "project": "support",
        "chat_id": "c1",
        "channel": "web",
    }


async def test_faults_of_one_kind_are_limited_and_those_of_others_are_not(lines: pytest.LogCaptureFixture) -> None:
    log = ChatLog(lines=3, window_seconds=60)
    for _ in range(100):
        log(ChannelFault("acme", "support", "c1", "web", "bad_frame", "a frame is not valid JSON"))
    for project, fault in (("support", "silent"), ("sales", "bad_frame")):
        log(ChannelFault("acme", project, "c1", "web", fault, "text"))
    found = [fields_of(line).get("fault") for line in lines.records]
    assert (found.count("bad_frame"), found.count("silent")) == (4, 1)
