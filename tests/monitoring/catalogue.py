"""The series of the bridge with their labels, as the code defines them."""

from __future__ import annotations

from functools import cache

from prometheus_client.metrics_core import Metric

from sipbridge.telemetry import Metrics
from sipbridge.telemetry.node_metrics import NodeFigures

PARTS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
# Prometheus adds these: to each series of a target, and as series of its own.
OF_TARGET = frozenset({"job", "instance"})
OF_PROMETHEUS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "client", "project"}),
}


@cache
def bridge_series() -> dict[str, frozenset[str]]:
    """Return the names of all series of a node, each with its labels."""
    metrics = Metrics(pjsip_version="2.17")
    metrics.show_node(lambda: NodeFigures(0.0, 0, {}, 0, 0, 0, 0, 0, 0, 0))
    return {name: labels for family in metrics.registry.collect() for name, labels in _series(family).items()}


@cache
def known_series() -> dict[str, frozenset[str]]:
    """Return the names of all series that Prometheus has of the bridges, each with its labels."""
    return {name: labels | OF_TARGET for name, labels in {**bridge_series(), **OF_PROMETHEUS}.items()}


def _series(family: Metric) -> dict[str, frozenset[str]]:
    # A family without a series has its labels in this attribute alone.
    labels = {*getattr(family, "_labelnames", ()), *(label for sample in family.samples for label in sample.labels)}
    names = {sample.name for sample in family.samples}
    names.update(f"{family.name}{part}" for part in PARTS.get(family.type, ()))
    return {
        name: frozenset(labels | {"le"} if name.endswith("_bucket") else labels - {"le"})
        for name in names or {family.name}
    }
