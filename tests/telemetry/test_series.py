"""The series that the event loop counts, compared with those of the library."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sipbridge.handoffs.outcome import Result
from sipbridge.telemetry.series import Counters, Histograms

BOUNDS = (0.005, 1, 2.5)
VALUES = (0.0, 0.005, 0.0051, 1, 1.0, 2.4, 2.5, 2.6, 7200)


@pytest.fixture(autouse=True)
def _no_created_series() -> None:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library


def page(fill: Callable[[CollectorRegistry], None]) -> str:
    registry = CollectorRegistry()
    fill(registry)
    return generate_latest(registry).decode()


def test_counters_are_shown_as_by_the_library() -> None:
    labelled = [("acme", 'quo"te\\d\n'), ("acme", "b"), ("acme", "b"), ("other", Result.SUCCESS)]

    def ours(registry: CollectorRegistry) -> None:
        counters = Counters("calls_total", "Calls ended.", ["client", "reason"], registry)
        for values in labelled:
            counters(*values).inc()
        Counters("errors_total", "Errors.", [], registry)().inc()
        Counters("never_total", "Never.", [], registry)
        Counters("unused_total", "Unused.", ["client"], registry)

    def librarys(registry: CollectorRegistry) -> None:
        counter = prometheus_client.Counter("calls_total", "Calls ended.", ["client", "reason"], registry=registry)
        for values in labelled:
            counter.labels(*values).inc()
        prometheus_client.Counter("errors_total", "Errors.", registry=registry).inc()
        prometheus_client.Counter("never_total", "Never.", registry=registry)
        prometheus_client.Counter("unused_total", "Unused.", ["client"], registry=registry)

    assert page(ours) == page(librarys)


def test_histograms_are_shown_as_by_the_library() -> None:
    def ours(registry: CollectorRegistry) -> None:
        stages = Histograms("stage_seconds", "Stages.", BOUNDS, ["stage"], registry)
        total = Histograms("call_seconds", "Calls.", BOUNDS, [], registry)()
        for value in VALUES:
            stages("signal").observe(value)
            total.observe(value)
        Histograms("never_seconds", "Never.", BOUNDS, [], registry)

    def librarys(registry: CollectorRegistry) -> None:
        stages = prometheus_client.Histogram("stage_seconds", "Stages.", ["stage"], buckets=BOUNDS, registry=registry)
        total = prometheus_client.Histogram("call_seconds", "Calls.", buckets=BOUNDS, registry=registry)
        for value in VALUES:
            stages.labels("signal").observe(value)
            total.observe(value)
        prometheus_client.Histogram("never_seconds", "Never.", buckets=BOUNDS, registry=registry)

    assert page(ours) == page(librarys)


def test_unwanted_series_are_removed_and_begin_again_at_zero() -> None:
    registry = CollectorRegistry()
    counters = Counters("calls_total", "Calls.", ["client"], registry)
    for client in ("acme", "other"):
        counters(client).inc()
    counters.keep(lambda values: values == ("acme",))
    assert 'client="other"' not in generate_latest(registry).decode()
    counters("other")
    assert 'calls_total{client="other"} 0.0' in generate_latest(registry).decode()
    assert 'calls_total{client="acme"} 1.0' in generate_latest(registry).decode()
