"""Counters that are counted elsewhere: in threads that cannot stop for a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector


class ExternalCounters(Collector):
    """Shows the totals that it was told last, 0 until then. `texts` are the metrics' names and what each counts."""

    def __init__(self, texts: Mapping[str, str], registry: CollectorRegistry) -> None:
        self._texts = texts
        self._totals = dict.fromkeys(texts, 0)
        registry.register(self)

    def set(self, *totals: int) -> None:
        """Take new totals since the start, in the order of the texts."""
        # At once, so that no page shows some old and some new.
        self._totals = dict(zip(self._texts, totals, strict=True))

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the registry what it shows, on whatever thread makes the page."""
        totals = self._totals
        for name, text in self._texts.items():
            yield CounterMetricFamily(name, text, value=totals[name])
