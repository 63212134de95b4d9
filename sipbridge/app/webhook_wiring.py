"""The webhooks of calls and chats, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipbridge.calls.ports.live_call import CallDirectory
from sipbridge.calls.ports.store import RecordStore
from sipbridge.chats.ports import ChatStore, EventSink
from sipbridge.config import Config, ProjectConfig, ProjectKey, WebhookConfig
from sipbridge.dns import Resolver
from sipbridge.telemetry import Metrics
from sipbridge.web import render_milestone
from sipbridge.webhooks import (
    CallSource,
    CallWebhooks,
    ChatSource,
    ChatWebhooks,
    DeliveryOutcome,
    HeldEnds,
    Webhook,
    WebhookSender,
)

if TYPE_CHECKING:
    from sipbridge.cluster import Cluster


class Webhooks:
    """The webhooks of the latest configuration, selected by `select`. Asked for several times per event, so kept."""

    def __init__(self, config: Callable[[], Config], select: Callable[[ProjectConfig], WebhookConfig | None]) -> None:
        self._config = config
        self._select = select
        self._read: Config | None = None
        self._webhooks: Mapping[tuple[str, str], Webhook] = {}

    def find(self, key: ProjectKey) -> Webhook | None:
        """Return the webhook of a project; None if it has none."""
        return self._latest().get(key)

    def has(self, client: str, project: str) -> bool:
        """Return True if a project has a webhook."""
        return (client, project) in self._latest()

    def _latest(self) -> Mapping[tuple[str, str], Webhook]:
        config = self._config()
        if config is not self._read:
            self._read = config
            traced = config.telemetry.traces
            webhooks = {key: self._webhook_of(project, traced=traced) for key, project in config.all_projects()}
            self._webhooks = {key: webhook for key, webhook in webhooks.items() if webhook}
        return self._webhooks

    def _webhook_of(self, project: ProjectConfig, *, traced: bool) -> Webhook | None:
        webhook = self._select(project)
        if webhook is None:
            return None
        allow = webhook.allow_private_addresses or (project.chat is not None and project.chat.allow_private_addresses)
        return Webhook(webhook.url, webhook.secret.get_secret_value().encode(), allow, traced)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The deliveries of events: `observe` takes those of calls, `sink` those of chats, which `chat_source` keeps."""

    observe: CallWebhooks
    sink: EventSink
    chat_source: ChatSource
    calls: WebhookSender
    chats: WebhookSender

    def start(self) -> None:
        """Resume what an earlier run left. Call this before chats and calls go on."""
        self.calls.start()
        self.chats.start()


def make_deliveries(  # noqa: PLR0913, PLR0917 (one for each part)
    config: Callable[[], Config],
    calls_webhooks: Webhooks,
    directory: CallDirectory,
    store: RecordStore,
    chat_store: ChatStore,
    resolver: Resolver,
    metrics: Metrics,
    cluster: Cluster | None,
    stack: AsyncExitStack,
) -> Deliveries:
    """Make the senders of calls and chats, each with connections of its own. `stack` closes them."""
    chats_webhooks = Webhooks(config, lambda project: project.chat_webhook)

    def observe(outcome: DeliveryOutcome) -> None:
        metrics.webhooks.count(outcome.client, outcome.project, outcome.result.value)

    held = HeldEnds(cluster.may_be_rescued) if cluster else HeldEnds()
    source = CallSource(directory, store, render_milestone, held)
    calls = WebhookSender(source, calls_webhooks.find, resolver, observe)
    of_chats = ChatSource(chat_store)
    may_relay = cluster.may_relay if cluster else None
    chats = WebhookSender(of_chats, chats_webhooks.find, resolver, observe, may_send=may_relay)
    for sender in (calls, chats):
        stack.push_async_callback(sender.close)
    metrics.webhooks.calls_waiting.count = calls.backlog
    metrics.webhooks.chats_waiting.count = chats.backlog
    observer = CallWebhooks(calls, calls_webhooks.has, render_milestone, held)
    return Deliveries(observer, ChatWebhooks(chats, chat_store), of_chats, calls, chats)
