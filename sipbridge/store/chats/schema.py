"""The tables of the chats."""

from __future__ import annotations

from sipbridge.chats.model import ChatState
from sipbridge.store.sqlite.schema import Schema

# The chats that are over, as a condition of SQL.
OVER = f"state IN ({', '.join(repr(state.value) for state in ChatState if state.is_final)})"
IN_PROGRESS = f"NOT {OVER}"

# A `body` is the JSON of a record or an entry; the other columns are for queries. Times are microseconds since 1970,
# UTC. A change costs as much as the pages that it writes. So entries are appended, and what finds them is short: many
# chats share a page of the index. The number of an event is its sequence, so that no two events of a chat have the same
# one; that of a file is its id; other entries are counted. The position of the webhook is not in `chats`, since an
# update would write the body again.
SCHEMA = Schema(
    version=1,
    statements=(
        """
        CREATE TABLE chats (
            id         INTEGER PRIMARY KEY,
            uid        TEXT NOT NULL UNIQUE,
            client     TEXT NOT NULL,
            project    TEXT NOT NULL,
            chat_id    TEXT NOT NULL,
            shared_id  TEXT NOT NULL,
            state      TEXT NOT NULL,
            started_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            body       TEXT NOT NULL,
            UNIQUE (client, project, chat_id)
        )
        """,
        """
        CREATE TABLE chat_entries (
            chat   INTEGER NOT NULL,
            kind   INTEGER NOT NULL,
            number INTEGER NOT NULL,
            body   TEXT NOT NULL,
            UNIQUE (chat, kind, number)
        )
        """,
        """
        CREATE TABLE chat_webhooks (
            chat     INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL
        )
        """,
        "CREATE INDEX chats_by_shared_id ON chats (client, project, shared_id, started_at)",
        "CREATE INDEX chats_by_start ON chats (client, project, started_at)",
        f"CREATE INDEX chats_in_progress ON chats (started_at) WHERE {IN_PROGRESS}",
        f"CREATE INDEX chats_by_update ON chats (updated_at) WHERE {OVER}",
        """
        CREATE TRIGGER chat_deleted AFTER DELETE ON chats BEGIN
            DELETE FROM chat_entries WHERE chat = old.id;
            DELETE FROM chat_webhooks WHERE chat = old.id;
        END
        """,
    ),
    # A commit survives SIGKILL without a sync of the disk. `sync` syncs every second, on a separate thread: a
    # commit never waits for the disk.
    synchronous="NORMAL",
    checkpoint_pages=0,
)
