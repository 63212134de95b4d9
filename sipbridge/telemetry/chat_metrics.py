"""The metrics of chats, fed by their events."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from sipbridge.chats.events import (
    ChannelFault,
    ChatAgentJoined,
    ChatEnded,
    ChatMessageRelayed,
    ChatQueued,
    ChatReleased,
    ChatStarted,
    ChatTelemetry,
)
from sipbridge.telemetry.labels import LabelGuard
from sipbridge.telemetry.series import Counters, Histograms

# Seconds. A relayed message takes milliseconds; a customer waits for a human agent for minutes.
RELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WAIT_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 3600)
CHAT_BUCKETS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

MakeCounter = Callable[..., Counters]
MakeHistogram = Callable[..., Histograms]


class ChatMetrics:
    """An observer of chats that counts. The series of the counters that `counter` makes go with their project."""

    def __init__(
        self, registry: CollectorRegistry, counter: MakeCounter, histogram: MakeHistogram, guard: LabelGuard
    ) -> None:
        self._guard = guard
        self._active = Gauge("sipbridge_chats_active", "Chats in progress.", registry=registry)
        self._chats = counter("sipbridge_chats_total", "Chats ended.", "client", "project", "result", "reason")
        self._resumed = counter("sipbridge_chats_resumed_total", "Chats resumed after a restart.", "client", "project")
        self._messages = counter(
            "sipbridge_chat_messages_total", "Messages relayed.", "client", "project", "direction", "delivery"
        )
        self._faults = counter(
            "sipbridge_channel_faults_total", "Errors of digital channels.", "client", "project", "fault"
        )
        self._relay = histogram(
            "sipbridge_chat_relay_seconds",
            "Time from the acceptance of a message to its hand-over.",
            RELAY_BUCKETS,
            "direction",
        )
        self._waits = histogram(
            "sipbridge_chat_wait_seconds", "Time from the request to the first human agent.", WAIT_BUCKETS
        )()
        self._durations = histogram(
            "sipbridge_chat_duration_seconds", "Time from the request to the end.", CHAT_BUCKETS
        )()

    def __call__(self, event: ChatTelemetry, /) -> None:
        """Count an event."""
        match event:
            case ChatMessageRelayed(record, direction, status, seconds):
                self._messages(record.client, record.project, direction, status.value).inc()
                self._relay(direction).observe(seconds)
            case ChatStarted(record, resumed):
                self._active.inc()
                if resumed:
                    self._resumed(record.client, record.project).inc()
            case ChatQueued():
                pass
            case ChatAgentJoined(_, seconds):
                self._waits.observe(seconds)
            case ChatEnded(record):
                reason = self._guard.limit(record.reason)
                result = record.result.value if record.result else "indeterminate"
                self._active.dec()
                self._chats(record.client, record.project, result, reason).inc()
                self._durations.observe(((record.ended_at or record.started_at) - record.started_at).total_seconds())
            case ChatReleased():
                self._active.dec()
            case ChannelFault():
                self._faults(event.client, event.project, self._guard.limit(event.fault)).inc()
