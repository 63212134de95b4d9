"""The parts of a bring-your-own channel that its sessions share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sipbridge.aio import BackgroundTasks
from sipbridge.chats.attachments import CheckAttachment
from sipbridge.chats.context import ChannelKey
from sipbridge.chats.events import ChannelFault, ChatTelemetry
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import BoxMessage, Report
from sipbridge.cxone.digital.byoc.agent_messages import Fetch
from sipbridge.cxone.digital.byoc.rest import DfoRest
from sipbridge.cxone.digital.recoveries import limit_recoveries
from sipbridge.cxone.digital.values import Json


class Reachable(Protocol):
    """A session, as the box reaches it."""

    thread_id: str
    report: Report

    async def take(self, message: Json) -> BoxMessage:
        """Take a message of the human agent; return it once the bot will get it.

        Raises `TimeoutError`, and `HttpWithheld` if another node may have the chat.
        """

    def release(self) -> None:
        """End the chat at the request of a Studio script."""


class Threads:
    """The threads of chats in progress, by which the box finds their sessions, whatever their configuration version."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[ChannelKey, str], Reachable] = {}

    @contextmanager
    def registered(self, key: ChannelKey, session: Reachable) -> Iterator[None]:
        """Be found while the block runs."""
        self._sessions[key, session.thread_id] = session
        try:
            yield
        finally:
            self._sessions.pop((key, session.thread_id), None)

    def find(self, key: ChannelKey, thread_id: str) -> Reachable | None:
        """Return the session of a thread."""
        return self._sessions.get((key, thread_id))


@dataclass(frozen=True, slots=True)
class ByocParts:
    """The parts. `observe` gets the faults of the channel, and `fetch` fetches the attachments of the human agent.

    `recoveries` limits the chats that recover at once.
    """

    key: ChannelKey
    rest: DfoRest
    threads: Threads
    background: BackgroundTasks
    observe: Callable[[ChatTelemetry], None]
    check: CheckAttachment
    fetch: Fetch
    recoveries: asyncio.Semaphore = field(default_factory=limit_recoveries)

    def fault(self, record: ChatRecord, word: str, message: str) -> None:
        """Report a fault of the channel."""
        self.observe(ChannelFault(record.client, record.project, record.chat_id, record.channel, word, message))
