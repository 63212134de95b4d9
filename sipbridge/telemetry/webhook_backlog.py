"""The gauge of events that wait for webhooks, counted when the page of metrics is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sipbridge.config import ProjectKey


class WebhookBacklog(Collector):
    """Shows what `count` returns, and 0 for a project that it returned before.

    It is called for each page, on the thread that makes it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.count: Callable[[], Mapping[ProjectKey, int]] = dict
        self._projects: set[ProjectKey] = set()
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric."""
        family = GaugeMetricFamily(
            "sipbridge_webhook_chats_waiting",
            "Chats with events that the webhook has not got yet.",
            labels=["client", "project"],
        )
        counted = self.count()
        self._projects.update(counted)
        for project in self._projects:
            family.add_metric(project, counted.get(project, 0))
        yield family
