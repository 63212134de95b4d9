from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from time import monotonic

import pytest

from sipbridge.telemetry.traces import exporter as exporting
from sipbridge.telemetry.traces.exporter import TraceExporter, TraceFigures
from sipbridge.telemetry.traces.span import Span
from tests.harness.waiting import wait_for


class FakeCollector:
    """Implements `exporter.Collector`. `fault` is why it accepts nothing; while `gate` is not set, requests hang.

    It refuses requests with more than `refuses_over` spans, with a span `refused_name`, or empty ones.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.refuses_over = exporting.BATCH
        self.refuses_empty = False
        self.refused_name = ""
        self.raises: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.is_hanging = False
        self.requests: list[int] = []
        self.names: list[str] = []
        self.is_closed = False

    def send(self, spans: Sequence[Span]) -> str | None:
        self.requests.append(len(spans))
        self.is_hanging = not self.gate.is_set()
        self.gate.wait()
        if self.raises is not None:
            raise self.raises
        names = [span.name for span in spans]
        if len(names) > self.refuses_over or self.refused_name in names or (self.refuses_empty and not names):
            return "refused"
        if self.fault is None:
            self.names += names
        return self.fault

    def close(self) -> None:
        self.is_closed = True
        self.gate.set()


def span(name: str = "call") -> Span:
    return Span(1, 2, None, name, (0, 1), {}, "server")


@pytest.fixture
def collector() -> FakeCollector:
    return FakeCollector()


@pytest.fixture
def exporter(collector: FakeCollector, monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceExporter]:
    for name in ("MIN_PAUSE_SECONDS", "MAX_PAUSE_SECONDS"):
        monkeypatch.setattr(exporting, name, 0.01)
    monkeypatch.setattr(exporting, "CLOSE_SECONDS", 0.2)
    made = TraceExporter(collector, interval_seconds=0.01)
    yield made
    if not collector.is_closed:
        made.close()


def add_at_once(exporter: TraceExporter, names: str) -> None:
    """Add a span for each letter, all of them for one batch, while the thread does not look."""
    exporter._waiting.extend([span(name) for name in names])  # noqa: SLF001 (atomic, as no call of `add` is)


def figures(exporter: TraceExporter, expected: TraceFigures) -> bool:
    return wait_for(lambda: exporter.figures() == expected, f"{expected}", 5)


def closes_at_once(exporter: TraceExporter, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return True if the end interrupts the request in flight, and does not wait for it first."""
    monkeypatch.setattr(exporting, "CLOSE_SECONDS", 30)
    began_at = monotonic()
    exporter.close()
    return monotonic() - began_at < 10 and collector.is_closed


def test_spans_are_sent_in_order_and_in_batches(exporter: TraceExporter, collector: FakeCollector) -> None:
    names = [str(number) for number in range(3 * exporting.BATCH)]
    for name in names:
        exporter.add(span(name))
    exporter.start()
    assert figures(exporter, TraceFigures(len(names), 0, 0, collector_up=True))
    assert collector.names == names
    assert collector.requests == [1, exporting.BATCH, exporting.BATCH, exporting.BATCH - 1]


def test_nothing_is_known_of_a_collector_before_the_first_response(
    exporter: TraceExporter, collector: FakeCollector
) -> None:
    collector.gate.clear()
    exporter.start()
    wait_for(lambda: collector.requests, "the first request")
    assert exporter.figures() == TraceFigures(0, 0, 0, None)


def test_while_the_collector_is_down_all_spans_wait_and_each_attempt_risks_one(
    exporter: TraceExporter, collector: FakeCollector
) -> None:
    collector.fault = "connection refused"
    for name in "abc":
        exporter.add(span(name))
    exporter.start()
    assert wait_for(lambda: len(collector.requests) > 3, "several attempts")
    assert set(collector.requests) == {1}
    assert exporter.figures() == TraceFigures(0, 0, 0, collector_up=False)
    collector.fault = None
    assert figures(exporter, TraceFigures(3, 0, 0, collector_up=True))
    assert sorted(collector.names) == ["a", "b", "c"]


def test_a_batch_that_the_collector_refuses_is_lost_but_for_the_span_that_asks_again(
    exporter: TraceExporter, collector: FakeCollector
) -> None:
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=True))
    collector.refuses_over = 2
    add_at_once(exporter, "abc")
    assert figures(exporter, TraceFigures(1, 2, 0, collector_up=True))
    assert collector.names == ["a"]


def test_a_collector_that_accepts_all_but_spans_is_down_once(
    exporter: TraceExporter, collector: FakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=True))
    collector.refuses_over = 0
    add_at_once(exporter, "abc")
    assert wait_for(lambda: collector.requests.count(1) > 3, "several attempts")
    assert exporter.figures() == TraceFigures(0, 2, 0, collector_up=False)
    assert [vars(record)["event"] for record in caplog.records] == ["trace_collector_down"]


def test_a_collector_that_refuses_long_batches_only_is_down_until_none_waits(
    exporter: TraceExporter, collector: FakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    collector.refuses_over = 2
    add_at_once(exporter, "a" * 2 * exporting.BATCH)
    exporter.start()
    # One asks, the batch is lost but for its first; this one asks, and the next batch is lost in the same way.
    assert figures(exporter, TraceFigures(3, 2 * exporting.BATCH - 3, 0, collector_up=True))
    assert [vars(record)["event"] for record in caplog.records] == ["trace_collector_down", "trace_collector_up"]


def test_a_collector_that_refuses_empty_requests_is_up_when_it_has_accepted_a_span(
    exporter: TraceExporter, collector: FakeCollector
) -> None:
    collector.refuses_empty = True
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=False))
    exporter.add(span())
    assert figures(exporter, TraceFigures(1, 0, 0, collector_up=True))
    exporter.add(span())
    assert figures(exporter, TraceFigures(2, 0, 0, collector_up=True))


def test_a_span_that_is_always_refused_does_not_hold_the_next_ones_up(
    exporter: TraceExporter, collector: FakeCollector
) -> None:
    collector.refused_name = "bad"
    exporter.add(span("bad"))
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=False))
    exporter.add(span("good"))
    assert wait_for(lambda: collector.names == ["good"], "the next span")


def test_what_finds_the_queue_full_is_dropped_and_counted(
    exporter: TraceExporter, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_WAITING", 3)
    for name in "abcde":
        exporter.add(span(name))
    exporter.start()
    assert figures(exporter, TraceFigures(3, 0, 2, collector_up=True))
    assert collector.names == ["a", "b", "c"]


def test_a_collector_that_never_responds_blocks_neither_calls_nor_the_end(
    exporter: TraceExporter, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.gate.clear()
    exporter.start()
    wait_for(lambda: collector.requests, "the first request")
    for _ in range(1000):
        exporter.add(span())
    assert closes_at_once(exporter, collector, monkeypatch)


def test_the_end_does_not_wait_for_a_request_to_a_collector_that_is_down(
    exporter: TraceExporter, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.fault = "connection refused"
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=False))
    collector.gate.clear()
    wait_for(lambda: collector.is_hanging, "a request that hangs")
    assert closes_at_once(exporter, collector, monkeypatch)


def test_the_end_sends_what_waits(exporter: TraceExporter, collector: FakeCollector) -> None:
    exporter.start()
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=True))
    exporter.add(span("last"))
    exporter.close()
    assert collector.names == ["last"]


def test_an_outage_is_logged_once_with_its_reason_and_its_end(
    exporter: TraceExporter, collector: FakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    collector.fault = "connection refused"
    exporter.start()
    wait_for(lambda: len(collector.requests) > 3, "several attempts")
    collector.fault = None
    assert figures(exporter, TraceFigures(0, 0, 0, collector_up=True))
    down, up = caplog.records
    assert (vars(down)["event"], vars(down)["detail"]) == ("trace_collector_down", "connection refused")
    assert vars(up)["event"] == "trace_collector_up"


def test_a_fault_of_ours_ends_neither_the_thread_nor_the_attempts(
    exporter: TraceExporter, collector: FakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.raises = RuntimeError("a defect")
    exporter.start()
    wait_for(lambda: len(collector.requests) > 1, "two attempts")
    collector.raises = None
    exporter.add(span())
    assert figures(exporter, TraceFigures(1, 0, 0, collector_up=True))
    assert "a defect" in caplog.text
