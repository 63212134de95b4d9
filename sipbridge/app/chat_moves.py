"""The chats of the bridge, as they move between nodes: their course, their event streams and their webhooks."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sipbridge.chats.reception import Reception
from sipbridge.web import ChatFeed
from sipbridge.webhooks import ChatSource, WebhookSender


class MovingChats:
    """Implements `cluster.CarriedChats`."""

    def __init__(self, reception: Reception, feed: ChatFeed, source: ChatSource, sender: WebhookSender) -> None:
        self._reception = reception
        self._feed = feed
        self._source = source
        self._sender = sender

    @property
    def slots(self) -> int:
        """The number of chats that the bridge may still take."""
        return self._reception.slots

    async def release(self) -> None:
        """End the bridge's part in all chats in progress; return once that is done."""
        uids = await self._reception.release()
        self._end_streams(uids)
        self._sender.forget(uids)

    def abandon(self) -> None:
        """End the bridge's part in all chats, over or not, at once: another node has them already."""
        self._end_streams(self._reception.begin_release())
        self._sender.forget(None)

    async def resume(self, taken: Collection[str] | None) -> None:
        """Go on with the chats with these uids, or with all of this node in the store. Raises `StoreError`."""
        # First, so that the chats find the position of their webhooks.
        self._sender.resume(await self._source.undelivered(taken))
        await self._reception.resume()

    def _end_streams(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._feed.end(uid)
