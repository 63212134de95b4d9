"""The dependencies of the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sipbridge.calls.ports.live_call import CallDirectory
from sipbridge.calls.ports.store import RecordStore
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import Availability, ChannelBox, ChatDirectory, ChatStore
from sipbridge.chats.request import ChatRequest
from sipbridge.config import Config
from sipbridge.web.event_log import EventLog
from sipbridge.web.nodes import Nodes
from sipbridge.web.operators.last_hour import LastHour
from sipbridge.web.screen_pop.feed import PageFeed
from sipbridge.web.screen_pop.links import PopLinks
from sipbridge.web.server.chat_feed import ChatFeed
from sipbridge.web.server.event_feed import EventFeed
from sipbridge.web.server.forwarding import Forwarder


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """The result of a successful reload: the changed keys that need a restart, and warnings about the file."""

    restart_required: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class AdminControls(Protocol):
    """The commands of an administrator to the bridge."""

    @property
    def since(self) -> datetime:
        """Time at which the bridge started."""

    @property
    def draining(self) -> bool:
        """True while the bridge takes no new calls and chats."""

    @property
    def calls(self) -> int:
        """Number of calls in progress."""

    @property
    def chats(self) -> int:
        """Number of chats in progress."""

    def drain(self) -> None:
        """Take no new calls and chats, suspend the chats when the calls have ended, then stop. Idempotent."""

    async def reload(self) -> ReloadReport:
        """Reload the configuration. Raises `ConfigError`; then nothing has changed."""


class ChatReception(Protocol):
    """Starts chats. Methods raise `HandoffInvalid` if the project has no such channel."""

    async def availability(self, client: str, project: str, channel: str | None) -> tuple[str, Availability]:
        """Ask a channel, or the default one, for human agents; return its name and the answer."""

    async def start(self, client: str, project: str, request: ChatRequest) -> ChatRecord:
        """Start a chat; return its record, or that of the same request if it was sent before.

        Raises `ChatConflict`, `ChatsUnavailable` or `StoreError`.
        """


@dataclass(frozen=True, slots=True)
class ChatDeps:
    """The parts of the chat half that the API uses.

    `box` returns the box of a channel, by client, project and channel; None if it has none. `recovered` is true once
    the chats of the last run go on.
    """

    reception: ChatReception
    directory: ChatDirectory
    store: ChatStore
    feed: ChatFeed
    box: Callable[[str, str, str], ChannelBox | None]
    recovered: Callable[[], bool]

    def has(self, record: ChatRecord) -> bool:
        """True if this node carries a chat, so that the feeds get its events."""
        live = self.directory.find(record.client, record.project, record.chat_id)
        return live is not None and not live.is_released


@dataclass(frozen=True, slots=True)
class WebDeps:
    """The parts of the bridge that the API uses.

    `config` returns the current configuration. `readiness` returns why no new call can be taken, or None if one can.
    `count_request` gets the operation and the status of each response; the operation is `none` if no path matched.
    `nodes` and `forwarder` are None if no other node shares the store.
    """

    config: Callable[[], Config]
    directory: CallDirectory
    store: RecordStore
    metrics_page: Callable[[], bytes]
    readiness: Callable[[], str | None]
    events: EventFeed
    event_log: EventLog
    pop_links: PopLinks
    pages: PageFeed
    last_hour: LastHour
    admin_controls: AdminControls
    count_request: Callable[[str, int], None]
    chats: ChatDeps
    nodes: Nodes | None = None
    forwarder: Forwarder | None = None
