"""The shared context of chats: the parts of one configuration version that they use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sipbridge.chats.events import ChatTelemetry
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import ChatStore, DigitalChannel, EventSink
from sipbridge.chats.registry import ChatRegistry
from sipbridge.config import Config

ChannelKey = tuple[str, str, str]  # client, project, name of the channel


@dataclass(frozen=True, slots=True, eq=False)
class ChatContext:
    """One configuration version. `config` and `channels` are its own; all versions share the rest."""

    config: Config
    channels: Mapping[ChannelKey, DigitalChannel]
    store: ChatStore
    sink: EventSink
    observe: Callable[[ChatTelemetry], None]
    registry: ChatRegistry
    pop_url: Callable[[ChatRecord], str]
