"""The parts of a bridge, and how they are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipbridge.aio import BackgroundTasks
from sipbridge.app.chat_moves import MovingChats
from sipbridge.app.chat_wiring import ChannelMaker, Sinks, box_of, start_context
from sipbridge.app.cluster_wiring import make_cluster, share_records
from sipbridge.app.fan_out import fan_out
from sipbridge.app.huge_pages import use_huge_pages
from sipbridge.app.live_config import LiveConfig
from sipbridge.app.webhook_wiring import Deliveries, Webhooks, make_deliveries
from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.context import CallContext
from sipbridge.calls.ports.observer import Observer
from sipbridge.calls.ports.sip import Leg
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.calls.readiness import Readiness
from sipbridge.calls.registry import CallRegistry
from sipbridge.chats.attachments import AttachmentFetcher
from sipbridge.chats.events import ChatTelemetry
from sipbridge.chats.reception import Reception
from sipbridge.chats.registry import ChatRegistry
from sipbridge.config import Config, authority
from sipbridge.cxone.digital.byoc.parts import Threads
from sipbridge.dns import Resolver
from sipbridge.http import CONNECTIONS_PER_ORIGIN, HttpClient, is_public
from sipbridge.sip.user_agent import UserAgent, pjsip_version
from sipbridge.store import OnSettled, open_chat_store, open_journal, open_store
from sipbridge.store.start_wait import StartWait
from sipbridge.telemetry import ChatLog, Metrics, call_logs
from sipbridge.telemetry.traces import CallTraces, ChatTraces, TraceExporter, make_exporter
from sipbridge.web import (
    AdminControls,
    ChatDeps,
    ChatFeed,
    EventFeed,
    EventLog,
    Forwarder,
    LastHour,
    PageFeed,
    PopLinks,
    WebDeps,
    make_admin_app,
    make_app,
    start_web,
)

if TYPE_CHECKING:
    from sipbridge.cluster import Cluster


class Core:
    """The parts that only keep state. They exist before anything is opened."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.admission = Admission(config)
        self.readiness = Readiness(self.admission)
        self.registry = CallRegistry()
        self.chat_registry = ChatRegistry()
        self.metrics = Metrics(pjsip_version=pjsip_version())
        self.event_feed = EventFeed()
        self.page_feed = PageFeed()
        self.last_hour = LastHour()
        self.observers: list[Observer] = [self.metrics, *call_logs(), self.page_feed]
        of_chats: list[Callable[[ChatTelemetry], None]] = [self.metrics.chats, ChatLog()]
        if config.http.admin.keys:  # else no one can see it
            self.observers.append(self.last_hour)
            of_chats.append(self.last_hour.observe_chat)
        self.traces = self._make_traces(of_chats)
        self.observe = fan_out(self.observers)
        self.observe_chats = fan_out(of_chats)
        self.chat_feed = ChatFeed()
        self.pop_links = PopLinks.from_config(config.http)
        self.background = BackgroundTasks()

    def _make_traces(self, of_chats: list[Callable[[ChatTelemetry], None]]) -> TraceExporter | None:
        """Make the exporter of traces, and the observers that feed it."""
        endpoint = self.config.telemetry.otlp_endpoint
        if endpoint is None:
            return None
        traces = make_exporter(endpoint, self.config.node.id or "")
        self.observers.append(CallTraces(traces.add))
        of_chats.append(ChatTraces(traces.add))
        self.metrics.traces.read = traces.figures
        return traces


@dataclass(frozen=True, slots=True)
class Bridge:
    """The parts that are open. `unfinished` are calls of an earlier run; `addresses` is for the ready line."""

    user_agent: UserAgent
    live_config: LiveConfig
    store: RecordStore
    reception: Reception
    moving_chats: MovingChats
    cluster: Cluster | None
    unfinished: Sequence[Unfinished]
    addresses: str


async def open_bridge(
    core: Core,
    on_call: Callable[[Leg, Admitted], None],
    controls: AdminControls,
    wait: StartWait,
    stack: AsyncExitStack,
) -> Bridge:
    """Open everything. `stack` closes it in reverse order. Raises `StartupError` or `ConfigError`."""
    config = core.config
    if core.traces is not None:  # closed last, with the spans of all that ends before
        core.traces.start()
        stack.push_async_callback(asyncio.to_thread, core.traces.close)
    local, unfinished = open_journal(config.store)
    stack.push_async_callback(local.close)
    journal: CallJournal = local
    cluster = make_cluster(config)
    if cluster is not None:
        stack.push_async_callback(cluster.close)
        journal = cluster.journal(local)
    webhooks_of_calls = Webhooks(lambda: live_config.latest.config, lambda project: project.webhook)
    store = await open_store(
        config.store,
        config.node.id,
        on_settled=_on_settled(journal, lambda: deliveries),
        has_webhook=webhooks_of_calls.has,
        wait=wait,
    )
    stack.push_async_callback(store.close)
    share_records(cluster, store)
    chat_store = await open_chat_store(config.store, (lambda: cluster.lease.epoch) if cluster else None, wait)
    stack.push_async_callback(chat_store.close)
    resolver = Resolver(asyncio.get_running_loop().time)
    stack.push_async_callback(resolver.close)
    resolver.open()
    http = await stack.enter_async_context(HttpClient(resolver))
    may_relay = cluster.may_relay if cluster else None
    chat_http, guarded = [
        await stack.enter_async_context(_http_of_chats(config, resolver, allows, may_relay))
        for allows in (None, is_public)
    ]
    stack.push_async_callback(_end_background, core.background)
    user_agent = UserAgent(config.sip, resolver, core.admission, core.readiness, on_call, core.observe)
    deliveries = make_deliveries(
        lambda: live_config.latest.config,
        webhooks_of_calls,
        core.registry,
        store,
        chat_store,
        resolver,
        core.metrics,
        cluster,
        stack,
    )
    observe = fan_out((*core.observers, deliveries.observe, store.observe))
    start = CallContext(
        config=config,
        agents={},
        speakers={},
        centres={},
        store=store,
        journal=journal,
        dialler=user_agent,
        observe=observe,
        registry=core.registry,
        admission=core.admission,
        pop_url=core.pop_links.make,
        claims=cluster.claims if cluster else None,
    )
    attachments = AttachmentFetcher(resolver)
    stack.push_async_callback(attachments.close)
    sinks = Sinks((core.chat_feed, core.page_feed, deliveries.sink))
    chats = start_context(
        config, chat_store, sinks, core.observe_chats, core.chat_registry, core.pop_links.make_for_chat
    )
    channels = ChannelMaker(
        chat_http, guarded, resolver, core.observe_chats, core.background, Threads(), attachments, may_relay
    )
    live_config = LiveConfig(start, chats, user_agent, http, resolver, channels.make)
    stack.push_async_callback(live_config.close)
    reception = Reception(lambda: live_config.latest_chats)
    stack.push_async_callback(reception.suspend)
    chat_deps = ChatDeps(
        reception,
        chats.registry,
        chat_store,
        core.chat_feed,
        lambda *key: box_of(live_config.latest_chats, *key),
        lambda: reception.recovered and not (cluster and cluster.chat_owners.is_behind),
    )
    url, web = await _open_web(core, live_config, store, chat_deps, controls, cluster, http, stack)
    await live_config.load()
    if cluster is not None:
        stack.push_async_callback(cluster.stop)
        await cluster.join(config.node.internal_url or url, http, wait)
    deliveries.start()
    # Not once calls arrive: it holds up the event loop.
    use_huge_pages()
    # The user agent opens last and closes first: a call finds everything that it needs.
    stack.push_async_callback(user_agent.stop)
    sip = await user_agent.start()
    moving_chats = MovingChats(reception, core.chat_feed, core.page_feed, deliveries.chat_source, deliveries.chats)
    shown = f"sip {' '.join(sip)} {web}"
    return Bridge(user_agent, live_config, store, reception, moving_chats, cluster, unfinished, shown)


def _on_settled(journal: CallJournal, deliveries: Callable[[], Deliveries]) -> OnSettled:
    """Return what learns of records that the store has settled late. The deliveries are made after the store."""

    def on_settled(call_id: str, *, stands: bool) -> None:
        journal.stored(call_id)
        deliveries().observe.settled(call_id, stands=stands)

    return on_settled


def _http_of_chats(
    config: Config, resolver: Resolver, allows: Callable[[str], bool] | None, may_send: Callable[[], bool] | None
) -> HttpClient:
    """Make an HTTP client. Its connections are not those of Signals, since each patron chat holds one (long poll)."""
    connections = CONNECTIONS_PER_ORIGIN + config.max_chats
    return HttpClient(
        resolver, allows=allows, spares_descriptors=True, connections_per_origin=connections, may_send=may_send
    )


async def _open_web(
    core: Core,
    live_config: LiveConfig,
    store: RecordStore,
    chats: ChatDeps,
    controls: AdminControls,
    cluster: Cluster | None,
    http: HttpClient,
    stack: AsyncExitStack,
) -> tuple[str, str]:
    """Open the HTTP listeners; return the URL of the API, and all addresses as the ready line shows them."""
    deps = WebDeps(
        config=lambda: live_config.latest.config,
        directory=core.registry,
        store=store,
        metrics_page=core.metrics.page,
        readiness=core.readiness.reason,
        events=core.event_feed,
        event_log=EventLog(store.events, chats.store, core.event_feed, core.chat_feed, core.page_feed),
        pop_links=core.pop_links,
        pages=core.page_feed,
        last_hour=core.last_hour,
        admin_controls=controls,
        count_request=core.metrics.count_request,
        chats=chats,
        nodes=cluster.owners if cluster else None,
        forwarder=Forwarder(http, cluster.owners) if cluster else None,
    )
    listen, admin = core.config.http.listen, core.config.http.admin.listen
    listener, address = await start_web(make_app(deps), listen.host, listen.port)
    stack.push_async_callback(listener.cleanup)
    url = f"http://{authority(*address)}"
    shown = f"http {url}"
    if admin:
        listener, address = await start_web(make_admin_app(deps), admin.host, admin.port, "http.admin.listen")
        stack.push_async_callback(listener.cleanup)
        shown += f" admin http://{authority(*address)}"
    return url, shown


async def _end_background(background: BackgroundTasks) -> None:
    background.cancel()
    await background.wait()
