"""The sync of the database to the disk every second, on a separate thread, so that no change waits for the disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.schema import connect_checkpointer

logger = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
BUSY_SECONDS = 0.02  # how long a change may wait while the log is emptied
MAX_LOG_PAGES = 16_000  # 64 MB


class DiskSync:
    """The thread that syncs. `suspect` is called if the file seems corrupt.

    A passive checkpoint syncs the write-ahead log, moves it into the file and syncs that, while changes go on. But
    SQLite reuses a log only when all of it has been moved, so a long one is emptied while changes wait.
    """

    def __init__(self, database: Database, suspect: Callable[[], None]) -> None:
        self._database = database
        self._suspect = suspect
        self._generation = -1
        self._connection: sqlite3.Connection | None = None
        self._failing = False
        self._written = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chats-sync", daemon=True)
        self._thread.start()

    def note_written(self) -> None:
        """Sync within a second."""
        if not self._written.is_set():
            self._written.set()

    def close(self) -> None:
        """Stop. Closing the database syncs the rest. Blocks."""
        self._closing.set()
        self._written.set()
        self._thread.join()
        if self._connection:
            self._connection.close()

    def _run(self) -> None:
        while True:
            self._written.wait()
            if self._closing.is_set():
                return
            self._written.clear()
            try:
                self._sync()
                self._failing = False
            except sqlite3.Error as error:
                self._note_failure(error)
            self._closing.wait(SYNC_SECONDS)

    def _sync(self) -> None:
        connection = self._connect()
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > MAX_LOG_PAGES:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _connect(self) -> sqlite3.Connection:
        """Return the connection to the file that is in use now."""
        generation = self._database.generation
        if self._connection is None or generation != self._generation:
            if self._connection:
                self._connection.close()
                self._connection = None
            self._connection = connect_checkpointer(self._database.path, busy_seconds=BUSY_SECONDS)
            self._generation = generation
        return self._connection

    def _note_failure(self, error: sqlite3.Error) -> None:
        self._written.set()  # again in a second
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
            self._suspect()
        elif not self._failing:
            self._failing = True
            logger.warning(
                "chats were written, but not synced to the disk: %s", error, extra={"event": "chats_not_synced"}
            )
