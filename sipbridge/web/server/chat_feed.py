"""The events of each chat, sent to every reader of its event stream."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.web.server.readers import Reader, Readers

MAX_QUEUED_EVENTS = 1_000  # a reader that is further behind is disconnected, and resumes by its last sequence
MAX_READERS_PER_CHAT = 16  # one more disconnects the oldest


class ChatFeed:
    """An `EventSink` that sends each chat's events to its readers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._readers = Readers[str, ChatEvent](MAX_QUEUED_EVENTS, MAX_READERS_PER_CHAT)

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Queue an event for each reader."""
        self.send(record.uid, event)

    def send(self, uid: str, event: ChatEvent) -> None:
        """Queue an event for each reader of a chat, and end their streams after its last one."""
        if uid in self._readers:
            self._readers.send(uid, event)
            if event.type.is_last:
                self._readers.end(uid)

    def __contains__(self, uid: str) -> bool:
        """True if a chat has readers."""
        return uid in self._readers

    def end(self, uid: str) -> None:
        """End the streams of a chat that goes on at another node: their readers resume there."""
        if uid in self._readers:
            self._readers.end(uid)

    def reader(self, uid: str) -> AbstractContextManager[Reader[ChatEvent]]:
        """Receive the events of a chat while the block runs."""
        return self._readers.reader(uid)

    def close(self) -> None:
        """Disconnect all readers, and those that connect later."""
        self._readers.close()
