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
BUSY_SECONDS = 0.02  # how long that may wait for a reader, and changes with it
MAX_LOG_PAGES = 8_000  # 32 MB


class DiskSync:
    """The thread that syncs. `suspect` is called if the file seems corrupt.

    A passive checkpoint syncs the write-ahead log, moves it into the file and syncs that, while changes go on. But
    SQLite reuses a log only when all of it has been moved, so the rest of a long one is moved while changes wait.
    """

    def __init__(self, database: Database, suspect: Callable[[], None]) -> None:
        self._database = database
        self._suspect = suspect
        self._failing = False
        self._lock = threading.Lock()  # of the connection
        self._generation = database.generation
        self._connection = _connect(database)
        self._written = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chats-sync", daemon=True)
        self._thread.start()

    def note_written(self) -> None:
        """Sync within a second. Called by the thread that writes, also after it has begun a new file."""
        if self._generation != self._database.generation:
            self._reconnect()
        if not self._written.is_set():
            self._written.set()

    def close(self) -> None:
        """Stop. Closing the database syncs the rest. Blocks."""
        self._closing.set()
        self._written.set()
        self._thread.join()
        self._connection.close()

    def _reconnect(self) -> None:
        generation = self._database.generation
        with self._lock:
            try:
                connection = _connect(self._database)
            except sqlite3.Error as error:
                self._note_failure(error)
                return
            self._connection.close()
            self._connection, self._generation = connection, generation

    def _run(self) -> None:
        while True:
            self._written.wait()
            if self._closing.is_set():
                return
            self._written.clear()
            try:
                with self._lock:
                    self._sync()
                self._failing = False
            except sqlite3.Error as error:
                self._note_failure(error)
            self._closing.wait(SYNC_SECONDS)

    def _sync(self) -> None:
        _, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > MAX_LOG_PAGES:
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def _note_failure(self, error: sqlite3.Error) -> None:
        self._written.set()  # again in a second
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
            self._suspect()
        elif not self._failing:
            self._failing = True
            logger.warning(
                "chats were written, but not synced to the disk: %s", error, extra={"event": "chats_not_synced"}
            )


def _connect(database: Database) -> sqlite3.Connection:
    """Open the file that is in use, and its log.

    Not later: SQLite finds the log by its name, and with the log of a file that has replaced this one it would destroy
    both.
    """
    connection = connect_checkpointer(database.path, busy_seconds=BUSY_SECONDS)
    connection.execute("PRAGMA user_version").fetchone()
    return connection
