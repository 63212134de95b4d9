"""The work of a writer of chats, each item with the future of its result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import ChatChange
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows


@dataclass(slots=True)
class Creation:
    """A new chat. `done` gets the record that is stored."""

    record: ChatRecord
    row: rows.ChatRow
    done: asyncio.Future[Any]

    @classmethod
    def of(cls, record: ChatRecord) -> Self:
        """Return the item to submit. Raises `StoreError` if the record cannot be stored."""
        return cls(record, rows.to_row(record), asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class Change:
    """A change of a chat: a new version of the record if it is not None, and entries. `done` gets None.

    `step` is that of `ChatChange`.
    """

    uid: str
    record: ChatRecord | None
    row: rows.ChatRow | None
    entries: Sequence[rows.EntryRow]
    step: int | None
    done: asyncio.Future[Any]

    @property
    def ends_chat(self) -> bool:
        """True if the chat is over with this change."""
        return self.record is not None and self.record.state.is_final

    @classmethod
    def of(cls, change: ChatChange) -> Self:
        """Return the item to submit. Raises `StoreError` if the change cannot be stored."""
        row = rows.to_row(change.record) if change.record else None
        entries = rows.to_entry_rows(change.uid, change.entries)
        done = asyncio.get_running_loop().create_future()
        return cls(change.uid, change.record, row, entries, change.step, done)


def refused(error: StoreError) -> asyncio.Future[Any]:
    """Return the result of a change that cannot be submitted."""
    done = asyncio.get_running_loop().create_future()
    done.set_exception(error)
    return done


@dataclass(slots=True)
class Erasure:
    """A request to erase the matching chats that are over. `done` gets their number."""

    client: str
    project: str
    column: str
    value: str
    done: asyncio.Future[Any]


Item = Creation | Change | Erasure
Result = ChatRecord | int | StoreError | None
