"""The metrics of a node among several. They are read when the page is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """The state of a node. `claims` are the Signals so far, by what became of their claims."""

    lease_age_seconds: float
    others: int
    claims: Mapping[str, int]
    unreplicated_claims: int
    takeovers: int
    calls_taken_over: int
    chats_taken: int
    chats_released: int
    unshared_calls: int
    forwards: int


class NodeMetrics(Collector):
    """Shows the figures that `read` returns."""

    def __init__(self, read: Callable[[], NodeFigures]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. The registry calls this on the event loop."""
        now = self._read()
        yield GaugeMetricFamily(
            "sipbridge_node_lease_age_seconds", "Time since this node renewed its lease.", value=now.lease_age_seconds
        )
        yield GaugeMetricFamily("sipbridge_node_others", "Other nodes that Redis has.", value=now.others)
        claims = CounterMetricFamily("sipbridge_signal_claims_total", "Claims of Signals.", labels=["result"])
        for result, count in now.claims.items():
            claims.add_metric([result], count)
        yield claims
        for name, text, count in (
            ("sipbridge_node_claims_unreplicated", "Claims that no replica had in time.", now.unreplicated_claims),
            ("sipbridge_node_takeovers", "Dead nodes that this one has taken over.", now.takeovers),
            ("sipbridge_node_calls_taken_over", "Open calls of those nodes.", now.calls_taken_over),
            ("sipbridge_node_chats_taken", "Chats that this node took, which waited for one.", now.chats_taken),
            ("sipbridge_node_chats_released", "Chats that this node let wait for another.", now.chats_released),
            ("sipbridge_node_unshared_calls", "Calls that were answered before Redis had them.", now.unshared_calls),
            ("sipbridge_node_forwards", "Requests about calls that other nodes carry.", now.forwards),
        ):
            yield CounterMetricFamily(f"{name}_total", text, value=count)
