"""The timelines of calls: each step with its time and its outcome, without what anyone said.

Those of the calls in progress and of the last ones that ended are in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sipbridge.calls.events import (
    AgentConnected,
    AgentFault,
    CallAnswered,
    CallEnded,
    CallEvent,
    CallRecovered,
    CallStarted,
    ContactShared,
    HandoffFinished,
    HandoffStage,
    HandoffStarted,
    SignalSent,
    SignalWithheld,
    StoreFailed,
    TakeBackDone,
    TransferDone,
    TurnsAdded,
)
from sipbridge.calls.model import CallRecord
from sipbridge.handoffs.outcome import Outcome, Result

MAX_ENDED = 200
MAX_STEPS = 100  # of one call; an agent may cause faults without end
MAX_TEXT = 128  # of a reason or detail that an agent has chosen
_TURNS = "conversation"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a call. `seconds` is its own time, if it has one."""

    at: datetime
    step: str
    result: Result | None = None
    reason: str = ""
    detail: str = ""
    seconds: float | None = None


@dataclass(slots=True)
class Timeline:
    """The steps of a call so far, and its newest record; after the end without the texts of callers and agents."""

    record: CallRecord
    outcome: Outcome | None = None
    steps: list[Step] = field(default_factory=list)


_Parts = tuple[str, Outcome | None, str, float | None]  # step, outcome, detail, seconds


def _handoff_started(event: HandoffStarted) -> _Parts:
    handoff = event.record.handoff
    return "handoff_started", None, f"{handoff.destination}: {handoff.reason}" if handoff else "", None


def _stage(event: HandoffStage) -> _Parts | None:
    """Return a stage, unless another event reports it with more."""
    return None if event.stage in ("signal", "transfer") else (event.stage, event.outcome, "", event.seconds)


_STEPS: Mapping[type, Callable[[Any], _Parts | None]] = {
    CallStarted: lambda _: ("call_started", None, "", None),
    ContactShared: lambda _: ("contact_shared", None, "", None),
    AgentConnected: lambda event: ("agent_connection", event.outcome, event.agent_type, None),
    AgentFault: lambda event: ("agent_fault", None, event.reason or event.fault, None),
    CallAnswered: lambda event: ("call_answered", None, "", event.setup_seconds),
    TurnsAdded: lambda _: (_TURNS, None, "", None),
    HandoffStarted: _handoff_started,
    HandoffStage: _stage,
    SignalSent: lambda event: ("signal", event.outcome, event.purpose, event.seconds),
    SignalWithheld: lambda event: ("signal_withheld", None, event.purpose, None),
    TransferDone: lambda event: ("transfer", event.outcome, event.method, event.seconds),
    TakeBackDone: lambda event: ("take_back", event.outcome, "", event.seconds),
    HandoffFinished: lambda event: ("handoff_finished", event.outcome, event.method, event.seconds),
    StoreFailed: lambda _: ("store_failed", None, "", None),
    CallEnded: lambda event: ("call_ended", event.outcome, event.record.ended_by or "", event.duration_seconds),
    CallRecovered: lambda event: ("call_recovered", event.outcome, "", None),
}


class Timelines:
    """An `Observer` that keeps the timelines."""

    def __init__(self) -> None:
        self._live: dict[str, Timeline] = {}
        self._ended: dict[str, Timeline] = {}  # the oldest first

    def __call__(self, event: CallEvent, /) -> None:
        """Add an event to the timeline of its call. One that comes after the end of a forgotten call adds nothing."""
        describe = _STEPS.get(type(event))
        if describe is None:
            return
        record: CallRecord = event.record  # type: ignore[union-attr]  # each event with a description has one
        timeline = self.find(record.call_id)
        if timeline is None:
            if not isinstance(event, CallStarted | CallRecovered):
                return
            timeline = self._live[record.call_id] = Timeline(record)
        parts = describe(event)
        if parts is not None:
            _add(timeline.steps, parts)
        if isinstance(event, CallEnded | CallRecovered):
            self._end(timeline, event)
        elif record.call_id in self._live:
            timeline.record = record

    def find(self, call_id: str) -> Timeline | None:
        """Return the timeline of a call in progress, or of one of the last that ended."""
        return self._live.get(call_id) or self._ended.get(call_id)

    def ended(self, limit: int) -> Iterator[Timeline]:
        """Return the timelines of the calls that ended last, newest first."""
        return islice(reversed(self._ended.values()), limit)

    def _end(self, timeline: Timeline, event: CallEnded | CallRecovered) -> None:
        record, handoff = event.record, event.record.handoff
        if handoff is not None:
            handoff = handoff.changed(data={}, parameters={}, utterance="")
        timeline.record, timeline.outcome = record.changed(transcript=(), handoff=handoff), event.outcome
        self._live.pop(record.call_id, None)
        self._ended[record.call_id] = timeline
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]


def _add(steps: list[Step], parts: _Parts) -> None:
    """Add a step. Turns that follow one another are one; after `MAX_STEPS`, only the last step is kept besides."""
    step, outcome, detail, seconds = parts
    if step == _TURNS and steps and steps[-1].step == _TURNS:
        return
    added = Step(
        datetime.now(UTC),
        step,
        outcome.result if outcome else None,
        outcome.reason if outcome else "",
        detail[:MAX_TEXT],
        seconds,
    )
    if len(steps) < MAX_STEPS:
        steps.append(added)
    else:
        steps[-1] = added
