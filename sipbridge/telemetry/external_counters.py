"""Metrics whose values other threads count, because those threads must not wait for a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector


class ExternalCounters(Collector):
    """Counters that show the totals set last, and 0 before. `texts` maps each metric's name to its help text."""

    def __init__(self, texts: Mapping[str, str], registry: CollectorRegistry) -> None:
        self._texts = texts
        self._totals = dict.fromkeys(texts, 0)
        registry.register(self)

    def set(self, *totals: int) -> None:
        """Set the totals since the start, in the order of `texts`."""
        # One assignment, so that no page shows a mix of old and new totals.
        self._totals = dict(zip(self._texts, totals, strict=True))

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the metrics. The registry calls this on any thread."""
        totals = self._totals
        for name, text in self._texts.items():
            yield CounterMetricFamily(name, text, value=totals[name])
