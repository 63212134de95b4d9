"""The chats of the bridge, as they move between nodes: their course, their event streams, pages and webhooks."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.reception import Reception
from sipbridge.web import ChatFeed, PageFeed
from sipbridge.webhooks import ChatSource, WebhookSender


class MovingChats:
    """Implements `cluster.CarriedChats`."""

    def __init__(
        self, reception: Reception, feed: ChatFeed, pages: PageFeed, source: ChatSource, sender: WebhookSender
    ) -> None:
        self._reception = reception
        self._feed = feed
        self._pages = pages
        self._source = source
        self._sender = sender

    @property
    def slots(self) -> int:
        """The number of chats that the bridge may still take."""
        return self._reception.slots

    async def release(self) -> None:
        """End the bridge's part in all chats in progress; return once that is done."""
        records = await self._reception.release()
        self._end_streams(records)
        self._sender.forget([record.uid for record in records])

    def abandon(self) -> None:
        """End the bridge's part in all chats, over or not, at once: another node has them already."""
        self._end_streams(self._reception.begin_release())
        self._sender.forget(None)

    async def resume(self, taken: Collection[str] | None) -> None:
        """Go on with the chats with these uids, or with all of this node in the store. Raises `StoreError`."""
        # First, so that the chats find the position of their webhooks.
        self._sender.resume(await self._source.undelivered(taken))
        await self._reception.resume()

    def _end_streams(self, records: Iterable[ChatRecord]) -> None:
        for record in records:
            self._feed.end(record.uid)
            self._pages.end(record)
