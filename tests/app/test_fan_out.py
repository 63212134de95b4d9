from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from sipbridge.app.fan_out import fan_out
from sipbridge.calls.events import CallEnded, CallEvent, CallStarted, DrainChanged
from sipbridge.calls.ports.observer import Observer, SelectiveObserver
from sipbridge.handoffs.outcome import Outcome, Result
from tests.fakes import RecordingObserver
from tests.store.records import make_record

STARTED = CallStarted(make_record())
ENDED = CallEnded(make_record(ended_at=datetime.now(UTC)), Outcome(Result.SUCCESS, "contained"), 1.0)


def test_each_observer_gets_the_events_that_it_wants_in_the_order_of_the_observers() -> None:
    seen: list[tuple[str, CallEvent]] = []
    everything = RecordingObserver()
    begins = SelectiveObserver({CallStarted: lambda event: seen.append(("begins", event))})
    all_of_calls = SelectiveObserver(
        dict.fromkeys((CallStarted, CallEnded), lambda event: seen.append(("calls", event)))
    )
    observers: list[Observer] = [begins, everything, all_of_calls]
    observe = fan_out(observers)
    events: list[CallEvent] = [STARTED, DrainChanged(draining=True), ENDED, STARTED]
    for event in events:
        observe(event)
    assert everything.events == events
    assert seen == [("begins", STARTED), ("calls", STARTED), ("calls", ENDED), ("begins", STARTED), ("calls", STARTED)]


def test_an_observer_that_raises_is_logged_and_the_others_are_notified(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("a fault of ours")

    last = RecordingObserver()
    observers: list[Observer] = [fail, SelectiveObserver({CallStarted: fail}), last]
    fan_out(observers)(STARTED)
    assert last.events == [STARTED]
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]
