"""The changes of calls and chats, for the pages that show them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from sipbridge.calls.events import OF_ONE_CALL, OfOneCall
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.observer import SelectiveObserver
from sipbridge.chats.model import ChatEvent, ChatRecord

Key = tuple[str, str, str]  # client, project, and the id of the call or chat


class Watcher:
    """The open page of one call or chat. A change that comes before the last one was taken replaces it."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._record: CallRecord | ChatRecord | None = None
        self._has_ended = False

    def put(self, record: CallRecord | ChatRecord) -> None:
        """Note the newest record."""
        if not self._has_ended:
            self._record = record
            self._changed.set()

    def end(self) -> None:
        """Note that there will be no more records."""
        self._has_ended = True
        self._record = None
        self._changed.set()

    async def change(self) -> CallRecord | ChatRecord | None:
        """Wait for a change, and return the newest record; None if there will be no more."""
        await self._changed.wait()
        if not self._has_ended:
            self._changed.clear()
        return self._record


class PageFeed(SelectiveObserver):
    """An `Observer` of calls and an `EventSink` of chats. Belongs to one event loop.

    Without pages of a call or chat, its changes cost a look-up.
    """

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(OF_ONE_CALL, self._call_changed))
        self._watchers: defaultdict[Key, set[Watcher]] = defaultdict(set)
        self._closed = False

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Pass on a change of a chat. Typing, which has no sequence, is none."""
        if event.sequence is not None:
            self.send(record)

    def has_watchers(self, key: Key) -> bool:
        """True if pages of a call or chat are open."""
        return key in self._watchers

    def send(self, record: CallRecord | ChatRecord) -> None:
        """Pass on the newest record of a call or chat."""
        for watcher in self._watchers.get(_key(record), ()):
            watcher.put(record)

    def end(self, record: ChatRecord) -> None:
        """End the streams of a chat that goes on at another node: their pages connect again, and follow its log."""
        for watcher in self._watchers.get(_key(record), ()):
            watcher.end()

    def _call_changed(self, event: OfOneCall) -> None:
        if self._watchers:
            self.send(event.record)

    @contextmanager
    def watch(self, key: Key) -> Iterator[Watcher]:
        """Receive the changes of a call or chat while the block runs."""
        watcher = Watcher()
        if self._closed:
            watcher.end()
        self._watchers[key].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[key].discard(watcher)
            if not self._watchers[key]:
                del self._watchers[key]

    def close(self) -> None:
        """End all streams, and those that begin later."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()


def _key(record: CallRecord | ChatRecord) -> Key:
    id_ = record.call_id if isinstance(record, CallRecord) else record.chat_id
    return record.client, record.project, id_
