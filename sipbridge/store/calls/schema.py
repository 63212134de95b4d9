"""The tables of the calls' records, of their log, and of the calls whose webhook waits for events."""

from __future__ import annotations

from sipbridge.store.sqlite.schema import Schema

# `body` is the record; the other columns are for queries. Times are microseconds since 1970, UTC.
SCHEMA = Schema(
    version=1,
    statements=(
        """
        CREATE TABLE calls (
            call_id    TEXT PRIMARY KEY,
            client     TEXT NOT NULL,
            project    TEXT NOT NULL,
            shared_id  TEXT NOT NULL,
            state      TEXT NOT NULL,
            started_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            body       TEXT NOT NULL
        )
        """,
        "CREATE INDEX calls_by_shared_id ON calls (client, project, shared_id, started_at)",
        "CREATE INDEX calls_by_start ON calls (client, project, started_at)",
        "CREATE INDEX calls_by_update ON calls (updated_at)",
    ),
    # Release 0.1.0 can still use a file that has these.
    additions=(
        # A row goes when the webhook has all events. It is not a column of `calls`, since an update would write the
        # body again.
        """
        CREATE TABLE IF NOT EXISTS call_webhooks (
            call_id  TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TRIGGER IF NOT EXISTS call_deleted AFTER DELETE ON calls BEGIN
            DELETE FROM call_webhooks WHERE call_id = old.call_id;
        END
        """,
        # `position` is the time of the entry, or the next number. The new milestones are over `known` up to `reached`.
        """
        CREATE TABLE IF NOT EXISTS call_events (
            position INTEGER PRIMARY KEY,
            client   TEXT NOT NULL,
            project  TEXT NOT NULL,
            call_id  TEXT NOT NULL,
            known    INTEGER NOT NULL,
            reached  INTEGER NOT NULL
        )
        """,
        "CREATE INDEX IF NOT EXISTS call_events_by_project ON call_events (client, project, position)",
        "CREATE INDEX IF NOT EXISTS call_events_by_call ON call_events (call_id, reached)",
    ),
    synchronous="FULL",  # a record survives a loss of power; puts are committed in groups
)
