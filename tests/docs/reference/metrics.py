"""The metrics: types, labels and buckets from the registry, meanings from docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator

from sipbridge.telemetry import Metrics
from sipbridge.telemetry.node_metrics import NodeFigures
from sipbridge.telemetry.series import Histograms
from tests.docs.tables import code, table, tables_of
from tests.monitoring.catalogue import bridge_series

_HEAD = """---
hide:
  - toc
---

# All metrics

This table is made from the program's registry; [metrics.md](metrics.md) explains how to read the metrics.

"""


def page() -> str:
    """Return the page."""
    return _HEAD + table(("name", "type", "labels", "meaning", "buckets"), _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    metrics = Metrics(pjsip_version="2.17")
    metrics.show_node(lambda: NodeFigures(0.0, 0, {}, 0, 0, 0, 0, 0, 0, 0))
    for collector in list(metrics.registry._collector_to_names):  # noqa: SLF001 (no other way to the buckets)
        if isinstance(collector, Histograms):
            collector(*collector.labels)  # a histogram without a series does not say its buckets
    explained = next(each for each in tables_of("metrics.md") if each.columns[0] == "name")
    for family in sorted(metrics.registry.collect(), key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        name = f"{name}_info" if family.type == "info" else name
        labels = bridge_series()[f"{name}_count" if family.type == "histogram" else name]
        row = explained.row(name)
        bounds = [
            sample.labels["le"].removesuffix(".0") for sample in family.samples if sample.name.endswith("_bucket")
        ]
        yield (
            code(name),
            family.type,
            " ".join(map(code, sorted(labels))),
            row["meaning"] if row else family.documentation,
            " ".join(dict.fromkeys(bounds)),
        )
