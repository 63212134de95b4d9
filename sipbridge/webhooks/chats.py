"""The events of chats, as their webhooks get them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.chats.ports import ChatStore
from sipbridge.config import ProjectKey
from sipbridge.webhooks.model import Undelivered
from sipbridge.webhooks.sender import WebhookSender


class ChatSource:
    """An `EventSource`: the store of chats has each event, and the position of the webhook."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store

    async def undelivered(self, among: Collection[str] | None = None) -> Sequence[Undelivered]:
        """Return the chats, or those with these uids, with events that the webhook did not get."""
        left = await self._store.undelivered(among)
        return [Undelivered(ProjectKey(each.client, each.project), each.uid, sequence) for each, sequence in left]

    async def events(self, project: ProjectKey, uid: str, *, after: int, limit: int) -> Sequence[ChatEvent]:  # noqa: ARG002 (a uid is enough)
        """Return the events of a chat with a sequence over `after`."""
        return await self._store.events(uid, after=after, limit=limit)

    def mark_delivered(self, project: ProjectKey, uid: str, sequence: int) -> None:  # noqa: ARG002 (as above)
        """Note the position of the webhook."""
        self._store.mark_delivered(uid, sequence)


class ChatWebhooks:
    """An `EventSink` that passes each event on to the sender."""

    def __init__(self, sender: WebhookSender, store: ChatStore) -> None:
        self._sender = sender
        self._store = store

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Pass an event on. The next start need not look for the webhook of a chat that is over and has none."""
        sent = self._sender.publish(ProjectKey(record.client, record.project), record.uid, event)
        if not sent and record.state.is_final and event.sequence is not None:
            self._store.mark_delivered(record.uid, event.sequence)
