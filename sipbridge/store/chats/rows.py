"""Conversion of chats to rows and back, and the SQL statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from sipbridge.chats.model import AttachmentFile, BotMessage, ChatEvent, ChatRecord, Delivery, EndRequest
from sipbridge.chats.ports import ChatEntry, StoredChat
from sipbridge.store.bodies import microseconds, to_body, to_model
from sipbridge.store.chats.schema import IN_PROGRESS, OVER
from sipbridge.store.sqlite.retention import AgeStatements


class Kind(IntEnum):
    """The content of a row. The numbers are in the file."""

    RECORD = 0
    EVENT = 1
    MESSAGE = 2
    DELIVERY = 3
    END_REQUEST = 4
    ATTACHMENT = 5


_KINDS: dict[type[ChatEntry], Kind] = {
    ChatEvent: Kind.EVENT,
    BotMessage: Kind.MESSAGE,
    Delivery: Kind.DELIVERY,
    EndRequest: Kind.END_REQUEST,
    AttachmentFile: Kind.ATTACHMENT,
}


class ChatRow(NamedTuple):
    """A row of the table `chats`, without `id` and `updated_at`."""

    uid: str
    client: str
    project: str
    chat_id: str
    shared_id: str
    state: str
    started_at: int
    body: str


class EntryRow(NamedTuple):
    """A row of the table `chat_entries`, without the chat. The number is None if the writer has to count."""

    kind: int
    number: int | None
    body: str


class Part(NamedTuple):
    """The record or an entry of a stored chat."""

    uid: str
    kind: int
    body: str


CREATE = """
INSERT INTO chats (uid, client, project, chat_id, shared_id, state, started_at, body, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
CREATE_WEBHOOK = "INSERT INTO chat_webhooks (chat, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING"
UPDATE = "UPDATE chats SET shared_id = ?, state = ?, body = ?, updated_at = ? WHERE id = ?"
MARK_DELIVERED = """
UPDATE chat_webhooks SET sequence = max(sequence, ?) WHERE chat = (SELECT id FROM chats WHERE uid = ?)
"""
# The id and the state of a chat, and the number of its last entry that is counted.
FIND = f"""
SELECT id, state, (SELECT coalesce(max(number), 0) FROM chat_entries
    WHERE chat = id AND kind NOT IN ({Kind.EVENT}, {Kind.ATTACHMENT}))
FROM chats WHERE uid = ?
"""  # noqa: S608 (fixed text only)

GET = "SELECT body FROM chats WHERE client = ? AND project = ? AND chat_id = ?"
GET_SHARED = """
SELECT body FROM chats WHERE client = ? AND project = ? AND shared_id = ? ORDER BY started_at DESC LIMIT 1
"""
LIST = """
SELECT body FROM chats WHERE client = ? AND project = ? AND started_at < ? ORDER BY started_at DESC LIMIT ?
"""
EVENTS = f"""
SELECT e.body FROM chats JOIN chat_entries AS e ON chat = id
WHERE uid = ? AND kind = {Kind.EVENT} AND number > ? ORDER BY number LIMIT ?
"""  # noqa: S608 (fixed text only)
ATTACHMENT = f"""
SELECT e.body FROM chats JOIN chat_entries AS e ON chat = id WHERE uid = ? AND kind = {Kind.ATTACHMENT} AND number = ?
"""  # noqa: S608 (fixed text only)
# The record of each chat, then its entries without the files. One statement reads one state of the database.
_PARTS = f"""
SELECT uid, kind, body FROM (
    SELECT started_at, uid, {Kind.RECORD} AS kind, 0 AS number, body FROM chats WHERE {{0}}
    UNION ALL
    SELECT started_at, uid, kind, number, e.body AS body FROM chats JOIN chat_entries AS e ON chat = id
    WHERE {{0}} AND kind <> {Kind.ATTACHMENT}
) ORDER BY started_at, uid, kind, number
"""  # noqa: S608 (fixed text only)
READ = _PARTS.format("uid = ?1")
UNFINISHED = _PARTS.format(IN_PROGRESS)
UNDELIVERED = f"""
SELECT body, sequence FROM chat_webhooks AS w JOIN chats ON id = w.chat
WHERE EXISTS (SELECT 1 FROM chat_entries WHERE chat = id AND kind = {Kind.EVENT} AND number > w.sequence)
"""  # noqa: S608 (fixed text only)

DELETE = {
    column: f"DELETE FROM chats WHERE client = ? AND project = ? AND {column} = ? AND {OVER}"  # noqa: S608 (fixed text only)
    for column in ("chat_id", "shared_id")
}
AGES = AgeStatements(
    newest=f"SELECT max(updated_at) FROM chats WHERE {OVER}",  # noqa: S608 (fixed text only)
    delete_old=f"""
    DELETE FROM chats WHERE id IN (SELECT id FROM chats WHERE {OVER} AND updated_at < ? LIMIT ?)
    """,  # noqa: S608 (fixed text only)
    bring_to_now=f"UPDATE chats SET updated_at = :now WHERE {OVER} AND updated_at > :now",  # noqa: S608 (fixed text only)
)


# What can still be read of an abandoned file.
IDS_IN_PROGRESS = f"SELECT id FROM chats WHERE {IN_PROGRESS} ORDER BY started_at"  # noqa: S608 (fixed text only)
NEXT_IDS = "SELECT id FROM chats WHERE id > ? ORDER BY id LIMIT ?"
RESCUE = """
SELECT uid, client, project, chat_id, shared_id, state, started_at, body, updated_at FROM chats
WHERE id = ? AND json_valid(body) AND typeof(started_at) = 'integer' AND typeof(updated_at) = 'integer'
"""
RESCUE_ENTRIES = "SELECT kind, number, body FROM chat_entries WHERE chat = ? AND json_valid(body)"
RESCUE_WEBHOOK = "SELECT sequence FROM chat_webhooks WHERE chat = ?"
ID_OF = "SELECT id FROM chats WHERE uid = ?"
PUT_BACK_ENTRY = "INSERT OR IGNORE INTO chat_entries (chat, kind, number, body) VALUES (?, ?, ?, ?)"


@cache
def insert_entries(count: int) -> str:
    """Return the statement that inserts so many entries."""
    values = ", ".join(["(?, ?, ?, ?)"] * count)
    return f"INSERT INTO chat_entries (chat, kind, number, body) VALUES {values}"  # noqa: S608 (fixed text only)


def to_row(record: ChatRecord) -> ChatRow:
    """Convert a record. Raises `StoreError` if its text cannot be encoded as UTF-8."""
    return ChatRow(
        record.uid,
        record.client,
        record.project,
        record.chat_id,
        record.shared_id,
        record.state.value,
        microseconds(record.started_at),
        to_body(record.model_dump_json, f"chat {record.uid}"),
    )


def to_entry_rows(uid: str, entries: Sequence[ChatEntry]) -> list[EntryRow]:
    """Convert entries, except events without a sequence, which are never repeated. Raises `StoreError` as `to_row`.

    Events and files have numbers of their own, by which they are found.
    """
    name = f"chat {uid}"
    found = []
    for entry in entries:
        if isinstance(entry, ChatEvent):
            if entry.sequence is not None:
                found.append(EntryRow(Kind.EVENT, entry.sequence, to_body(entry.to_json, name)))
            continue
        number = attachment_number(entry.id) if isinstance(entry, AttachmentFile) else None
        found.append(EntryRow(_KINDS[type(entry)], number, to_body(entry.model_dump_json, name)))
    return found


def attachment_number(attachment_id: str) -> int:
    """Return the number of a file by its id. Raises `ValueError` for one that is none."""
    return int(attachment_id, 16)


def to_attachment(body: str) -> AttachmentFile:
    """Parse a file. Raises `StoreError` as `to_record`."""
    return to_model(AttachmentFile, body)


def to_record(body: str) -> ChatRecord:
    """Parse a record. Raises `StoreError`, which does not quote it, if it is not valid."""
    return to_model(ChatRecord, body)


def to_event(body: str) -> ChatEvent:
    """Parse an event. Raises `StoreError` as `to_record`."""
    return to_model(ChatEvent, body)


def to_chat(parts: Iterable[Part]) -> StoredChat | None:
    """Build a chat from its parts; None if there are none. Raises `StoreError` as `to_record`."""
    bodies: dict[int, list[str]] = {kind: [] for kind in Kind}
    for part in parts:
        bodies[part.kind].append(part.body)
    if not bodies[Kind.RECORD]:
        return None
    deliveries = [to_model(Delivery, body) for body in bodies[Kind.DELIVERY]]
    end_requests = [to_model(EndRequest, body) for body in bodies[Kind.END_REQUEST][:1]]
    return StoredChat(
        record=to_record(bodies[Kind.RECORD][0]),
        messages=[to_model(BotMessage, body) for body in bodies[Kind.MESSAGE]],
        deliveries={delivery.id: delivery for delivery in deliveries},
        end_request=end_requests[0] if end_requests else None,
        events=[to_event(body) for body in bodies[Kind.EVENT]],
    )
