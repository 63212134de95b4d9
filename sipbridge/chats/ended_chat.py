"""A chat that is over, as repeated requests of the bot reach it."""

from __future__ import annotations

from sipbridge.chats.model import BotMessage, ChatRecord, EndRequest, check_repeated
from sipbridge.chats.ports import StoredChat
from sipbridge.errors import ChatConflict


class EndedChat:
    """Implements `chats.ports.ChatControl`. A request that was accepted before the end has the same response again."""

    def __init__(self, stored: StoredChat) -> None:
        self._stored = stored

    @property
    def record(self) -> ChatRecord:
        """The final state of the chat."""
        return self._stored.record

    async def accept_message(self, message: BotMessage) -> None:
        """Do nothing for a message that was accepted. Raises `ChatConflict` for any other."""
        known = next((each.digest for each in self._stored.messages if each.id == message.id), None)
        check_repeated(known, message)
        if known is None:
            raise _ended()

    def set_typing(self, *, on: bool) -> None:  # noqa: ARG002 (as of a chat in progress)
        """Raise `ChatConflict`."""
        raise _ended()

    async def request_end(self, request: EndRequest) -> None:  # noqa: ARG002 (as of a chat in progress)
        """Do nothing if the bot has ended the chat. Raises `ChatConflict` for any other end."""
        if self._stored.end_request is None:
            raise _ended()


def _ended() -> ChatConflict:
    return ChatConflict("the chat has ended")
