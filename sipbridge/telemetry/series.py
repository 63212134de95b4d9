"""Counters and histograms on the path of every call: the event loop counts, and any thread may show them.

Those of the library take a lock and several function calls per count. They are for threads that count at once.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

S = TypeVar("S")


class Counter:
    """The counter of one set of label values."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """Count one more."""
        self.count += 1


class Histogram:
    """The histogram of one set of label values. `bounds` are the upper bounds of its buckets, without infinity."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[int]:
        """Return how many values are at most each bound, and how many there are."""
        return list(accumulate(self._counts))


class _Family(Collector, Generic[S]):
    """All series of a metric, by their label values in the order of `labels`. Without labels there is one."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], make: Callable[[], S], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._text = text
        self.labels = tuple(labels)
        self._make = make
        self._series: dict[tuple[str, ...], S] = {}
        if not labels:
            self()
        registry.register(self)

    def __call__(self, *values: str) -> S:
        """Return the series with these label values."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = self._make()
        return series

    def keep(self, wanted: Callable[[tuple[str, ...]], bool]) -> None:
        """Remove the series whose label values are no longer wanted."""
        for values in [values for values in self._series if not wanted(values)]:
            del self._series[values]

    def collect(self) -> Iterator[Metric]:
        """Yield the metric. The registry calls this on any thread, so the series are listed in one step."""
        yield self._family(list(self._series.items()))

    @abstractmethod
    def _family(self, series: list[tuple[tuple[str, ...], S]]) -> Metric: ...


class Counters(_Family[Counter]):
    """A counter with labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        super().__init__(name, text, labels, Counter, registry)

    def _family(self, series: list[tuple[tuple[str, ...], Counter]]) -> Metric:
        family = CounterMetricFamily(self._name, self._text, labels=self.labels)
        for values, counter in series:
            family.add_metric(values, counter.count)
        return family


class Histograms(_Family[Histogram]):
    """A histogram with labels."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        super().__init__(name, text, labels, lambda: Histogram(bounds), registry)
        self._bounds = [*(str(float(bound)) for bound in bounds), "+Inf"]

    def _family(self, series: list[tuple[tuple[str, ...], Histogram]]) -> Metric:
        family = HistogramMetricFamily(self._name, self._text, labels=self.labels)
        for values, histogram in series:
            buckets = list(zip(self._bounds, histogram.cumulated(), strict=True))
            family.add_metric(values, buckets, histogram.sum)
        return family
