"""The events of calls and chats from the logs of the stores: those of all nodes, if several share the stores.

Invariant: a reader gets each event once, in the order of the log, from the one that it names on. If that one is no
longer there, it is notified of the gap before anything else. Only the events of a call that was erased are left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from sipbridge.calls.milestones import milestones_of
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import CallLog, LogEntry
from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.chats.ports import ChatStore
from sipbridge.web.screen_pop.feed import PageFeed
from sipbridge.web.server.chat_feed import ChatFeed
from sipbridge.web.server.event_feed import GAP, EventFeed, EventId, Notice

PAGE = 200  # entries per read


class EventLog:
    """Passes what is added to the logs on to the feeds, for all readers. What was before, each reads for itself.

    Belongs to one event loop.
    """

    def __init__(
        self, calls: CallLog, chats: ChatStore, call_feed: EventFeed, chat_feed: ChatFeed, pages: PageFeed
    ) -> None:
        self._calls = calls
        self._chats = chats
        self._call_feed = call_feed
        self._chat_feed = chat_feed
        self._pages = pages

    def follow_calls(self, client: str, project: str) -> AbstractAsyncContextManager[None]:
        """Pass the events of a project's calls on while the block runs. Raises `StoreError`."""
        return self._calls.follow(client, project, partial(self._on_calls, client, project))

    def follow_chat(self, chat: ChatRecord) -> AbstractAsyncContextManager[None]:
        """Pass the events of another node's chat on while the block runs. Raises `StoreError`."""
        return self._chats.follow(chat.uid, partial(self._on_chat, chat))

    async def calls_after(self, client: str, project: str, after: EventId) -> AsyncIterator[Notice]:
        """Yield the events of a project after the given one; first a gap if it is not there. Raises `StoreError`."""
        first, is_known = after.position, False
        while True:
            entries = await self._calls.entries(client, project, first=first, limit=PAGE)
            if not is_known and (not entries or entries[0].position != after.position):
                yield GAP
            is_known = True
            for notice in _notices(entries, await self._records(client, project, entries)):
                if notice.id and notice.id > after:
                    yield notice
            if len(entries) < PAGE:
                return
            first = entries[-1].position.next

    async def _on_calls(self, client: str, project: str, entries: Sequence[LogEntry]) -> None:
        if not self._call_feed.has_readers(client, project):
            entries = [each for each in entries if self._pages.has_watchers((client, project, each.call_id))]
        records = await self._records(client, project, entries)
        for record in records.values():
            self._pages.send(record)
        for notice in _notices(entries, records):
            self._call_feed.send(client, project, notice)

    async def _on_chat(self, chat: ChatRecord, events: Sequence[ChatEvent]) -> None:
        key = (chat.client, chat.project, chat.chat_id)
        record = await self._chats.get(*key) if self._pages.has_watchers(key) else None
        if record is not None:
            self._pages.send(record)
        for event in events:
            self._chat_feed.send(chat.uid, event)

    async def _records(self, client: str, project: str, entries: Iterable[LogEntry]) -> dict[str, CallRecord]:
        return await self._calls.records(client, project, {entry.call_id for entry in entries})


def _notices(entries: Iterable[LogEntry], records: dict[str, CallRecord]) -> Iterator[Notice]:
    """Yield the events of entries: the milestones of their calls, as they were then."""
    for entry in entries:
        record = records.get(entry.call_id)
        for milestone in milestones_of(record) if record else ():
            if entry.after < milestone.sequence <= entry.until:
                yield Notice.of(milestone, EventId(entry.position, milestone.sequence))
