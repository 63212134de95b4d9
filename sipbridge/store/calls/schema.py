"""The table of the calls' records."""

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
    synchronous="FULL",  # a record survives a loss of power; puts are committed in groups
)
