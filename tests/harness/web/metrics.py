"""The bridge's metrics, read as Prometheus would."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Metrics:
    """One scrape of `/metrics`."""

    def __init__(self, page: str) -> None:
        self._samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name that have all these labels; 0 if there are none."""
        wanted = frozenset(labels.items())
        return sum(value for has, value in self._samples.get(name, {}).items() if wanted <= has)

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Return the sums of the samples of a name by the values of these labels; a missing label counts as empty."""
        sums: Counter[tuple[str, ...]] = Counter()
        for has, value in self._samples.get(name, {}).items():
            values = dict(has)
            sums[tuple(values.get(label, "") for label in labels)] += round(value)
        return sums

    def since(self, earlier: Metrics, name: str, **labels: str) -> float:
        """Return how much a counter has grown."""
        return self.value(name, **labels) - earlier.value(name, **labels)
