"""The tables of the SQLite store, and the connections to its file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sipbridge.errors import StartupError

SCHEMA_VERSION = 1

# `body` is the record; the other columns are for queries. Times are microseconds since 1970, UTC.
_TABLES = """
CREATE TABLE calls (
    call_id    TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    project    TEXT NOT NULL,
    shared_id  TEXT NOT NULL,
    state      TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX calls_by_shared_id ON calls (client, project, shared_id, started_at);
CREATE INDEX calls_by_start ON calls (client, project, started_at);
CREATE INDEX calls_by_update ON calls (updated_at);
"""


def connect_writer(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file for writing; create the file and its tables if they do not exist.

    Raises `StartupError` for tables of another version, and `OSError` or `sqlite3.Error`.
    """
    path.touch(mode=0o600)  # records contain phone numbers; SQLite gives its -wal and -shm files the same mode
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file for reading while a writer has it open."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL syncs the disk at each commit, so that a record survives a loss of power; puts are committed in groups.
    connection.execute("PRAGMA synchronous = FULL")
    # Overwrite what is deleted: an erased record must not be readable in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _create_tables(connection, path)
    finally:
        connection.execute("COMMIT")


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version != 0:
        raise StartupError(
            f"store.url: {path} has schema version {version}, but this sipbridge needs {SCHEMA_VERSION};"
            " use the release that wrote it, or name another file"
        )
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
