"""The work of a writer of chats, each item with the future of its result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sipbridge.chats.model import ChatRecord
from sipbridge.errors import StoreError
from sipbridge.store.chats import rows


@dataclass(slots=True)
class Creation:
    """A new chat. `done` gets the record that is stored."""

    record: ChatRecord
    row: rows.ChatRow
    done: asyncio.Future[Any]


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
