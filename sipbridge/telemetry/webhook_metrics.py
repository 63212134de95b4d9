"""The metrics of webhooks: attempts, and what waits, which is counted when the page of metrics is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sipbridge.config import ProjectKey
from sipbridge.telemetry.series import Counters


class WebhookMetrics:
    """The counter of deliveries, and the gauges of what waits, whose `count` is set when webhooks start."""

    def __init__(self, registry: CollectorRegistry, counter: Callable[..., Counters]) -> None:
        self._deliveries = counter(
            "sipbridge_webhook_deliveries_total", "Attempts to deliver an event.", "client", "project", "result"
        )
        self.calls_waiting = WebhookBacklog(
            registry, "sipbridge_webhook_calls_waiting", "Calls with events that the webhook has not got yet."
        )
        self.chats_waiting = WebhookBacklog(
            registry, "sipbridge_webhook_chats_waiting", "Chats with events that the webhook has not got yet."
        )

    def count(self, client: str, project: str, result: str) -> None:
        """Count an attempt to deliver an event to a webhook, or the end of all attempts."""
        self._deliveries(client, project, result).inc()


class WebhookBacklog(Collector):
    """Shows what `count` returns, and 0 for a project that it returned before.

    It is called for each page, on the thread that makes it.
    """

    def __init__(self, registry: CollectorRegistry, name: str, text: str) -> None:
        self.count: Callable[[], Mapping[ProjectKey, int]] = dict
        self._name = name
        self._text = text
        self._projects: set[ProjectKey] = set()
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric."""
        family = GaugeMetricFamily(self._name, self._text, labels=["client", "project"])
        counted = self.count()
        self._projects.update(counted)
        for project in self._projects:
            family.add_metric(project, counted.get(project, 0))
        yield family
