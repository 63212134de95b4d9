"""The metrics of traces, read when the page of metrics is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sipbridge.telemetry.traces.exporter import TraceFigures


class TraceMetrics(Collector):
    """Shows what `read` returns, which is set if there are traces. There are no series before that."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.read: Callable[[], TraceFigures | None] = lambda: None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. The registry calls this on any thread."""
        figures = self.read()
        spans = CounterMetricFamily("sipbridge_trace_spans_total", "Spans of calls and chats.", labels=["result"])
        up = GaugeMetricFamily("sipbridge_trace_collector_up", "1 while the trace collector accepts spans.")
        if figures is not None:
            for result in ("exported", "failed", "dropped"):
                spans.add_metric([result], getattr(figures, result))
            if figures.collector_up is not None:
                up.add_metric([], figures.collector_up)
        yield spans
        yield up
