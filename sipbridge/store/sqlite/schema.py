"""The tables of a database file, and the connections to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sipbridge.errors import StartupError


@dataclass(frozen=True, slots=True)
class Schema:
    """The statements that create the tables of a file, and their version.

    With FULL, SQLite syncs the disk at each commit, so that a commit survives a loss of power. With NORMAL, a commit
    survives the end of the process only, until the write-ahead log is synced. A commit that makes the log longer than
    `checkpoint_pages` also moves it into the file; 0 is never.
    `additions` are executed at each start: what files of this version from an earlier release do not have.
    """

    version: int
    statements: Sequence[str]
    synchronous: Literal["FULL", "NORMAL"]
    checkpoint_pages: int = 1000
    additions: Sequence[str] = ()


def connect_writer(path: Path, schema: Schema, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file for writing; create the file and its tables if they do not exist.

    Raises `StartupError` for tables of another version, and `OSError` or `sqlite3.Error`.
    """
    path.touch(mode=0o600)  # records contain phone numbers; SQLite gives its -wal and -shm files the same mode
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file for reading while a writer has it open."""
    return _connect_existing(path, "ro", busy_seconds)


def connect_checkpointer(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file for checkpoints while a writer has it open."""
    return _connect_existing(path, "rw", busy_seconds)


def _connect_existing(path: Path, mode: Literal["ro", "rw"], busy_seconds: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {schema.synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {schema.checkpoint_pages}")
    # Overwrite what is deleted: an erased record must not be readable in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _create_tables(connection, path, schema)
    finally:
        connection.execute("COMMIT")


def _create_tables(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, schema.version):
        raise StartupError(
            f"store.url: {path} has schema version {version}, but this sipbridge needs {schema.version};"
            " use the release that wrote it, or name another file"
        )
    for statement in (*(() if version else schema.statements), *schema.additions):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {schema.version}")
