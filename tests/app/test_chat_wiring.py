from __future__ import annotations

from typing import NoReturn

import pytest

from sipbridge.app.chat_wiring import Sinks
from sipbridge.chats.model import ChatEvent, ChatEventType, ChatRecord
from tests.store.chats.chats import make_chat


class Sink:
    def __init__(self) -> None:
        self.events: list[ChatEvent] = []

    def publish(self, _record: ChatRecord, event: ChatEvent) -> None:
        self.events.append(event)


class FailingSink:
    def publish(self, _record: ChatRecord, _event: ChatEvent) -> NoReturn:
        raise RuntimeError("a fault of ours")


def test_a_sink_that_fails_is_logged_and_the_others_get_the_event(caplog: pytest.LogCaptureFixture) -> None:
    record, sink = make_chat(), Sink()
    event = record.event(1, ChatEventType.HANDOFF_ACCEPTED, {})
    Sinks((FailingSink(), sink)).publish(record, event)
    assert sink.events == [event]
    assert "a fault of ours" in caplog.text
