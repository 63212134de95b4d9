"""The chats in progress, by chat id and shared id."""

from __future__ import annotations

from collections.abc import Iterator

from sipbridge.chats.ports import LiveChat

_Key = tuple[str, str, str]


class ChatRegistry:
    """Implements `chats.ports.ChatDirectory`."""

    def __init__(self) -> None:
        self._chats: dict[_Key, LiveChat] = {}
        self._shared: dict[_Key, list[LiveChat]] = {}

    def __len__(self) -> int:
        return len(self._chats)

    def add(self, chat: LiveChat) -> None:
        """Add a chat."""
        record = chat.record
        self._chats[record.client, record.project, record.chat_id] = chat
        self._shared.setdefault((record.client, record.project, record.shared_id), []).append(chat)

    def remove(self, chat: LiveChat) -> None:
        """Remove a chat that is over."""
        record = chat.record
        self._chats.pop((record.client, record.project, record.chat_id), None)
        key = (record.client, record.project, record.shared_id)
        chats = [other for other in self._shared.get(key, ()) if other is not chat]
        if chats:
            self._shared[key] = chats
        else:
            self._shared.pop(key, None)

    def find(self, client: str, project: str, chat_id: str) -> LiveChat | None:
        """Return a chat in progress of that project."""
        return self._chats.get((client, project, chat_id))

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveChat | None:
        """Return the newest chat in progress with that shared id."""
        chats = self._shared.get((client, project, shared_id))
        return chats[-1] if chats else None

    def of_project(self, client: str, project: str) -> list[LiveChat]:
        """Return all chats in progress of a project, newest first."""
        return [chat for key, chat in self._chats.items() if key[:2] == (client, project)][::-1]

    def newest(self) -> Iterator[LiveChat]:
        """Return all chats in progress, newest first."""
        return reversed(self._chats.values())
