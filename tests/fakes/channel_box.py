"""The box of a channel, with one thread."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sipbridge.chats.ports import BoxMessage, ChannelBox
from sipbridge.errors import HttpWithheld

CREDENTIALS = ("id-of-the-box", "secret-of-the-box")
TOKEN, SECONDS = "token-of-the-box", 3600
THREAD = "thread-1"


class FakeBox:
    """Implements `ChannelBox`. `taken` has the messages that it took. While `stalls` is set, no message is stored.

    While `withholds` is set, another node may have the chats.
    """

    def __init__(self, token: str = TOKEN, thread: str = THREAD) -> None:
        self.token = token
        self.thread = thread
        self.taken: list[Mapping[str, Any]] = []
        self.typing: list[bool] = []
        self.released = 0
        self.stalls = False
        self.withholds = False

    def issue_token(self, client_id: str, client_secret: str) -> tuple[str, int] | None:
        return (self.token, SECONDS) if (client_id, client_secret) == CREDENTIALS else None

    def accepts_token(self, token: str) -> bool:
        return token == self.token

    async def take_message(self, thread_id: str, body: Mapping[str, Any]) -> BoxMessage | None:
        if thread_id != self.thread:
            return None
        if self.withholds:
            raise HttpWithheld("another node may do this instead")
        if self.stalls:
            raise TimeoutError
        self.taken.append(body)
        return BoxMessage(f"message-{len(self.taken)}", datetime.now(UTC))

    def show_typing(self, thread_id: str, *, on: bool) -> bool:
        self.typing += [on] if thread_id == self.thread else []
        return thread_id == self.thread

    def release(self, thread_id: str) -> bool:
        self.released += thread_id == self.thread
        return thread_id == self.thread


def _implements(box: FakeBox) -> ChannelBox:
    return box
