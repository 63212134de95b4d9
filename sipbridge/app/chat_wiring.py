"""The parts of the chat half, and how they are put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from sipbridge.aio import BackgroundTasks
from sipbridge.chats.attachments import AttachmentFetcher, AttachmentRules, check_allowed
from sipbridge.chats.context import ChannelKey, ChatContext
from sipbridge.chats.events import ChatTelemetry
from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.chats.ports import ChannelBox, ChatStore, DigitalChannel, EventSink
from sipbridge.chats.registry import ChatRegistry
from sipbridge.config import (
    ByocChannelConfig,
    ChatChannelConfig,
    ChatConfig,
    Config,
    DfoChannelConfig,
    PatronChannelConfig,
)
from sipbridge.cxone import CxoneClient
from sipbridge.cxone.digital.byoc.channel import ByocChannel
from sipbridge.cxone.digital.byoc.parts import ByocParts, Threads
from sipbridge.cxone.digital.byoc.rest import DfoRest
from sipbridge.cxone.digital.dfo.channel import DfoChannel
from sipbridge.cxone.digital.patron.channel import PatronChannel
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChannelMaker:
    """A factory of digital channels.

    `guarded` is for URLs that CXone names: it connects to public addresses only. `may_send` is that of `DfoChannel`.
    """

    http: HttpClient
    guarded: HttpClient
    resolver: Resolver
    observe: Callable[[ChatTelemetry], None]
    background: BackgroundTasks
    threads: Threads
    attachments: AttachmentFetcher
    may_send: Callable[[], bool] | None = None

    def make(
        self,
        centres: Mapping[str, CxoneClient],
        key: ChannelKey,
        chat: ChatConfig,
        settings: ChatChannelConfig,
    ) -> DigitalChannel:
        """Make a channel. `centres` are the CXone clients of its configuration version."""
        rules = AttachmentRules(chat.allows_attachments_of, chat.allow_private_addresses)
        fetch = partial(self.attachments.fetch, rules=rules)
        check = partial(check_allowed, rules=rules)
        match settings:
            case DfoChannelConfig():
                return DfoChannel(
                    settings,
                    self.http,
                    self.guarded,
                    self.resolver,
                    fetch,
                    self.observe,
                    self.background,
                    self.may_send,
                )
            case ByocChannelConfig():
                keep = partial(self.attachments.fetch, rules=replace(rules, allows_host=_any_host))
                rest = DfoRest(settings, self.http, centres[key[0]].tokens)
                parts = ByocParts(key, rest, self.threads, self.background, self.observe, check, keep)
                return ByocChannel(settings, parts)
            case PatronChannelConfig():
                return PatronChannel(settings, self.http, self.observe, self.background, check)
            case _:
                assert_never(settings)


def _any_host(_host: str) -> bool:
    """Allow any host: CXone does not say where the files of its human agents are."""
    return True


def box_of(context: ChatContext, client: str, project: str, channel: str) -> ChannelBox | None:
    """Return the box of a channel in the latest configuration; None if it has none."""
    found = context.channels.get((client, project, channel))
    return found if isinstance(found, ByocChannel) else None


class Sinks:
    """An `EventSink` that passes each event on to several. If one raises, neither the chat nor the others notice."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._sinks = sinks

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Pass an event on."""
        for sink in self._sinks:
            try:
                sink.publish(record, event)
            except Exception:
                logger.exception("event sink failed", extra={"event": "internal_error"})


def start_context(
    config: Config,
    store: ChatStore,
    sink: EventSink,
    observe: Callable[[ChatTelemetry], None],
    registry: ChatRegistry,
    pop_url: Callable[[ChatRecord], str],
) -> ChatContext:
    """Return the context of the first configuration version, which has no channels yet."""
    return ChatContext(config, {}, store, sink, observe, registry, pop_url)
