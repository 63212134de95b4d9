"""The metrics of contract section 8, fed by the events of calls."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection
from functools import partial

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector

from sipbridge import __version__
from sipbridge.calls.events import (
    AgentConnected,
    AgentFault,
    CallAnswered,
    CallEnded,
    CallRecovered,
    CallStarted,
    ConfigRead,
    ContactShared,
    DrainChanged,
    HandoffFinished,
    HandoffStage,
    InviteAnswered,
    SignalSent,
    SignalWithheld,
    StoreFailed,
    TakeBackDone,
    TokenRequested,
    TransferDone,
)
from sipbridge.calls.ports.observer import SelectiveObserver
from sipbridge.telemetry.chat_metrics import ChatMetrics
from sipbridge.telemetry.external_counters import ExternalCounters
from sipbridge.telemetry.labels import LabelGuard
from sipbridge.telemetry.node_metrics import NodeFigures, NodeMetrics
from sipbridge.telemetry.series import Counters, Histograms
from sipbridge.telemetry.trace_metrics import TraceMetrics
from sipbridge.telemetry.webhook_metrics import WebhookMetrics

# Seconds. A prompt answers within milliseconds, a ringing desk after many seconds; a Signal may take 3.
SETUP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
CALL_BUCKETS = (1, 5, 10, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200)
STAGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 60)
SIGNAL_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)
MEDIA = {
    "sipbridge_media_underruns_total": "Times that a WebSocket agent's audio ran out during speech.",
    "sipbridge_media_overruns_total": "Times that audio was dropped because it was not read in time.",
    "sipbridge_media_late_frames_total": "Ticks of the media clock and frames of callers more than 20 ms late.",
    "sipbridge_media_stray_packets_total": "RTP packets discarded because they did not come from the far end.",
}
DIALOGS = {
    "sipbridge_dialog_strangers_total": "Messages in dialogs discarded because of an untrusted source.",
}


class Metrics(SelectiveObserver):
    """An `Observer` that counts. It is called on one thread; any thread may call `page` and the setters."""

    def __init__(self, *, pjsip_version: str) -> None:
        # The library's `_created` series double the page and repeat `process_start_time_seconds`.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Info("sipbridge_build", "Versions of sipbridge, PJSIP and Python.", registry=registry)
        build.info({"version": __version__, "pjsip": pjsip_version, "python": platform.python_version()})

        self._counters: list[Counters] = []

        def counter(name: str, text: str, *labels: str) -> Counters:
            counters = Counters(name, text, labels, registry)
            self._counters.append(counters)
            return counters

        def histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histograms:
            return Histograms(name, text, bounds, labels, registry)

        self._label_guard = LabelGuard()
        self._active = Gauge("sipbridge_calls_active", "Calls in progress.", registry=registry)
        self._draining = Gauge("sipbridge_draining", "1 while no new calls are taken.", registry=registry)
        self._ready = Gauge("sipbridge_ready", "1 while a new call would be admitted.", registry=registry)
        self._lag = Gauge(
            "sipbridge_sip_thread_lag_seconds", "Delay of a command to the SIP thread.", registry=registry
        )
        self._tasks = Gauge("sipbridge_event_loop_tasks", "Tasks on the event loop.", registry=registry)
        self._pools = Gauge("sipbridge_pjsip_pools_in_use", "PJSIP memory pools in use.", registry=registry)
        self._invites = counter("sipbridge_invites_total", "New INVITEs, by final response.", "code")
        self._calls = counter("sipbridge_calls_total", "Calls ended.", "client", "project", "result", "reason")
        self._recovered = counter(
            "sipbridge_calls_recovered_total", "Calls of a crashed run, recovered.", "client", "result", "reason"
        )
        self._readings = counter("sipbridge_config_reloads_total", "Configurations read while running.", "result")
        self._handoffs = counter(
            "sipbridge_handoffs_total", "Handoffs finished.", "client", "project", "method", "result", "reason"
        )
        self._take_backs = counter(
            "sipbridge_take_backs_total", "Callers given back to their agents.", "client", "project", "result"
        )
        self._signals = counter("sipbridge_signals_total", "Signals attempted.", "client", "result")
        self._withheld = counter(
            "sipbridge_signals_withheld_total", "Signals not sent: contact already had one.", "client"
        )
        self._shared = counter("sipbridge_shared_contacts_total", "Calls of a contact with another call.", "client")
        self._tokens = counter("sipbridge_token_requests_total", "Access tokens requested.", "client", "result")
        self._transfers = counter("sipbridge_transfers_total", "Transfers attempted.", "method", "result")
        self._agents = counter(
            "sipbridge_agent_connects_total", "Attempts to connect to an agent.", "client", "project", "type", "result"
        )
        self._faults = counter(
            "sipbridge_agent_faults_total", "Errors of agents during calls.", "client", "project", "type", "fault"
        )
        self._utterances = counter("sipbridge_utterances_total", "Utterances requested before a transfer.", "result")
        self._requests = counter("sipbridge_http_requests_total", "HTTP requests.", "operation", "code")
        self._media = ExternalCounters(MEDIA, registry)
        self._playout_delay = Gauge(
            "sipbridge_media_playout_delay_seconds", "Longest delay against agents' jitter.", registry=registry
        )
        self._dialogs = ExternalCounters(DIALOGS, registry)
        self._store_errors = counter("sipbridge_store_errors_total", "Records that could not be written.")()
        self._pending_records = Gauge(
            "sipbridge_store_pending_records", "Records that are not written yet.", registry=registry
        )
        self._durations = histogram(
            "sipbridge_call_duration_seconds", "Time from INVITE to the call's end.", CALL_BUCKETS
        )()
        self._setups = histogram("sipbridge_setup_seconds", "Time from INVITE to 200.", SETUP_BUCKETS)()
        self._signal_seconds = histogram(
            "sipbridge_signal_seconds", "Time of a Signal and its retries.", SIGNAL_BUCKETS
        )()
        self._stages = histogram(
            "sipbridge_handoff_seconds",
            "Time of each stage of a handoff; `total` is the whole handoff.",
            STAGE_BUCKETS,
            "stage",
        )
        self.chats = ChatMetrics(registry, counter, histogram, self._label_guard)
        self.webhooks = WebhookMetrics(registry, counter)
        self.traces = TraceMetrics(registry)
        super().__init__(
            {
                InviteAnswered: self._invite_answered,
                CallStarted: self._call_started,
                AgentConnected: self._agent_connected,
                AgentFault: self._agent_fault,
                CallAnswered: self._call_answered,
                HandoffStage: self._handoff_stage,
                SignalSent: self._signal_sent,
                SignalWithheld: self._signal_withheld,
                ContactShared: self._contact_shared,
                TransferDone: self._transfer_done,
                TakeBackDone: self._take_back_done,
                HandoffFinished: self._handoff_finished,
                CallEnded: self._call_ended,
                CallRecovered: self._call_recovered,
                TokenRequested: self._token_requested,
                StoreFailed: self._store_failed,
                ConfigRead: self._config_read,
                DrainChanged: self._drain_changed,
            }
        )

    # What the following functions are given is called for each page, on the thread that makes it.

    def show_ready(self, ready: Callable[[], bool]) -> None:
        """Show what `ready` returns: true if a new call would be admitted."""
        self._ready.set_function(ready)

    def show_sip_thread_lag(self, seconds: Callable[[], float]) -> None:
        """Show what `seconds` returns as the delay of a command to the SIP thread."""
        self._lag.set_function(seconds)

    def show_event_loop_tasks(self, count: Callable[[], int]) -> None:
        """Show what `count` returns as the number of tasks."""
        self._tasks.set_function(count)

    def set_pjsip_pools_in_use(self, pools: int) -> None:
        """Set the number of PJSIP memory pools in use."""
        self._pools.set(pools)

    def set_media_counts(self, underruns: int, overruns: int, late: int, stray: int) -> None:
        """Set the totals of audio errors since the start."""
        self._media.set(underruns, overruns, late, stray)

    def set_playout_delay(self, seconds: float) -> None:
        """Set the longest delay that absorbs the jitter of a WebSocket agent."""
        self._playout_delay.set(seconds)

    def set_dialog_strangers(self, count: int) -> None:
        """Set the total of messages in dialogs from untrusted sources since the start."""
        self._dialogs.set(count)

    def count_request(self, operation: str, http_status: int) -> None:
        """Count an HTTP request; `operation` is one of the API's, or `none`."""
        self._requests(operation, str(http_status)).inc()

    def set_store_pending_records(self, count: int) -> None:
        """Set the number of records that are not written yet."""
        self._pending_records.set(count)

    def keep_projects(self, projects: Collection[tuple[str, str]]) -> None:
        """Drop the series of all other clients and projects, which no configuration version has any more."""
        clients = {client for client, _ in projects}
        for counters in self._counters:
            names = counters.labels
            if "project" in names:
                counters.keep(partial(_is_of_projects, projects, names.index("client"), names.index("project")))
            elif "client" in names:
                counters.keep(partial(_is_of_clients, clients, names.index("client")))

    def show_node(self, read: Callable[[], NodeFigures]) -> None:
        """Show the figures of this node, which is one of several."""
        self.registry.register(NodeMetrics(read))

    def page(self) -> bytes:
        """Return all metrics in the text format of `prometheus_client.CONTENT_TYPE_LATEST`."""
        return prometheus_client.generate_latest(self.registry)

    def _invite_answered(self, event: InviteAnswered) -> None:
        # The response of an agent or a destination may be passed on, so the code is not always ours.
        self._invites(str(event.sip_status) if 200 <= event.sip_status <= 699 else "other").inc()  # noqa: PLR2004 (RFC 3261, 21)

    def _call_started(self, _: CallStarted) -> None:
        self._active.inc()

    def _agent_connected(self, event: AgentConnected) -> None:
        record = event.record
        self._agents(record.client, record.project, event.agent_type, event.outcome.result).inc()

    def _agent_fault(self, event: AgentFault) -> None:
        record = event.record
        self._faults(record.client, record.project, event.agent_type, self._label_guard.limit(event.fault)).inc()

    def _call_answered(self, event: CallAnswered) -> None:
        self._setups.observe(event.setup_seconds)

    def _handoff_stage(self, event: HandoffStage) -> None:
        self._stages(event.stage).observe(event.seconds)
        if event.stage == "utterance":
            self._utterances(event.outcome.result).inc()

    def _signal_sent(self, event: SignalSent) -> None:
        self._signals(event.record.client, event.outcome.result).inc()
        self._signal_seconds.observe(event.seconds)

    def _signal_withheld(self, event: SignalWithheld) -> None:
        self._withheld(event.record.client).inc()

    def _contact_shared(self, event: ContactShared) -> None:
        self._shared(event.record.client).inc()

    def _transfer_done(self, event: TransferDone) -> None:
        self._transfers(event.method, event.outcome.result).inc()

    def _take_back_done(self, event: TakeBackDone) -> None:
        record = event.record
        self._take_backs(record.client, record.project, event.outcome.result).inc()

    def _handoff_finished(self, event: HandoffFinished) -> None:
        record, outcome = event.record, event.outcome
        reason = self._label_guard.limit(outcome.reason)
        self._handoffs(record.client, record.project, event.method, outcome.result, reason).inc()
        self._stages("total").observe(event.seconds)

    def _call_ended(self, event: CallEnded) -> None:
        record, outcome = event.record, event.outcome
        self._active.dec()
        self._calls(record.client, record.project, outcome.result, self._label_guard.limit(outcome.reason)).inc()
        self._durations.observe(event.duration_seconds)

    def _call_recovered(self, event: CallRecovered) -> None:
        self._recovered(event.record.client, event.outcome.result, self._label_guard.limit(event.outcome.reason)).inc()

    def _token_requested(self, event: TokenRequested) -> None:
        self._tokens(event.client, event.result).inc()

    def _store_failed(self, _: StoreFailed) -> None:
        self._store_errors.inc()

    def _config_read(self, event: ConfigRead) -> None:
        self._readings(event.outcome.result).inc()

    def _drain_changed(self, event: DrainChanged) -> None:
        self._draining.set(event.draining)


def _is_of_projects(
    projects: Collection[tuple[str, str]], client_at: int, project_at: int, labels: tuple[str, ...]
) -> bool:
    return (labels[client_at], labels[project_at]) in projects


def _is_of_clients(clients: Collection[str], client_at: int, labels: tuple[str, ...]) -> bool:
    return labels[client_at] in clients
