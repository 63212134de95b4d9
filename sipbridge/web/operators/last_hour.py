"""The last hour for operators: the outcomes of calls and chats, and the timelines of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sipbridge.calls.events import (
    AgentConnected,
    CallEnded,
    CallEvent,
    CallRecovered,
    HandoffFinished,
    SignalSent,
    TokenRequested,
)
from sipbridge.calls.model import CallRecord
from sipbridge.chats.events import ChatEnded, ChatTelemetry
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.web.operators.tally import Kind, Series, Tally
from sipbridge.web.operators.timelines import MAX_TEXT, Timelines


def _series(kind: Kind, event: Any) -> Series:  # noqa: ANN401 (one of the events below)
    record: CallRecord = event.record
    outcome: Outcome = event.outcome
    return Series(kind, record.client, record.project, outcome.result, outcome.reason[:MAX_TEXT])


_COUNTED: Mapping[type, Callable[[Any], Series]] = {
    CallEnded: partial(_series, "call"),
    CallRecovered: partial(_series, "call"),
    HandoffFinished: partial(_series, "handoff"),
    AgentConnected: partial(_series, "agent"),
    SignalSent: lambda event: _series("signal", event)._replace(project=""),
    TokenRequested: lambda event: Series("token", event.client, "", event.result, ""),
}


class LastHour:
    """An `Observer` of calls and, with `observe_chat`, of chats. Belongs to one event loop."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.timelines = Timelines()

    def __call__(self, event: CallEvent, /) -> None:
        """Count the event, and add it to the timeline of its call."""
        self.timelines(event)
        if series := _COUNTED.get(type(event)):
            self.tally.count(series(event))

    def observe_chat(self, event: ChatTelemetry, /) -> None:
        """Count the end of a chat."""
        if isinstance(event, ChatEnded):
            record = event.record
            result = record.result or Result.INDETERMINATE
            self.tally.count(Series("chat", record.client, record.project, result, record.reason[:MAX_TEXT]))
