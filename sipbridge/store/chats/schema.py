"""The tables of the chats."""

from __future__ import annotations

from sipbridge.chats.model import ChatState
from sipbridge.store.sqlite.schema import Schema

# The chats that are over, as a condition of SQL.
OVER = f"state IN ({', '.join(repr(state.value) for state in ChatState if state.is_final)})"
IN_PROGRESS = f"NOT {OVER}"

# A `body` is the JSON of a record or an entry; the other columns are for queries. Times are microseconds since 1970,
# UTC. An entry is beside those of its chat, so that a change writes few pages: the number of an event is its sequence,
# so that no two events have the same one, and other entries are counted. The position of the webhook is not in `chats`,
# since an update would write a long body again.
SCHEMA = Schema(
    version=1,
    statements=(
        """
        CREATE TABLE chats (
            uid        TEXT PRIMARY KEY,
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
            uid    TEXT NOT NULL,
            kind   TEXT NOT NULL,
            number INTEGER NOT NULL,
            body   TEXT NOT NULL,
            PRIMARY KEY (uid, kind, number)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE chat_webhooks (
            uid      TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX chats_by_shared_id ON chats (client, project, shared_id, started_at)",
        "CREATE INDEX chats_by_start ON chats (client, project, started_at)",
        f"CREATE INDEX chats_in_progress ON chats (started_at) WHERE {IN_PROGRESS}",
        f"CREATE INDEX chats_by_update ON chats (updated_at) WHERE {OVER}",
        """
        CREATE TRIGGER chat_deleted AFTER DELETE ON chats BEGIN
            DELETE FROM chat_entries WHERE uid = old.uid;
            DELETE FROM chat_webhooks WHERE uid = old.uid;
        END
        """,
    ),
    # A commit survives SIGKILL without a sync of the disk. `sync` syncs every second, on a separate thread: a
    # commit never waits for the disk.
    synchronous="NORMAL",
    checkpoint_pages=0,
)
