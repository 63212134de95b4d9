"""A database file as its one writer uses it, and what happens when it is corrupt, deleted or replaced."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sipbridge.errors import StartupError
from sipbridge.store.sqlite.lock import FileLock
from sipbridge.store.sqlite.rescue import Progress, Rescue
from sipbridge.store.sqlite.schema import Schema, connect_reader, connect_writer

logger = logging.getLogger(__name__)

BUSY_SECONDS = 1.0  # how long a put waits for another process that locks the file; the caller waits too
SUFFIXES = ("", "-wal", "-shm")

Identity = tuple[tuple[int, int] | None, ...]


class Damaged(sqlite3.DatabaseError):
    """The integrity check of the file failed."""


class Database:
    """The file and the connection that writes it. After the start it belongs to one thread.

    `generation` increases when readers must reconnect; `connection` is another one then. `start_rescue` gets the
    connection to an abandoned file.
    """

    def __init__(self, path: Path, schema: Schema, start_rescue: Callable[[sqlite3.Connection], Rescue]) -> None:
        """Open the file. Raises `StartupError`, `OSError` or `sqlite3.Error`."""
        self.path = path
        # Made once: each commit looks at these files, and a new Path costs more than the look.
        self._files = tuple(self._beside(suffix) for suffix in SUFFIXES)
        self._schema = schema
        self._start_rescue = start_rescue
        self.generation = 0
        self._rescues: deque[Rescue] = deque()
        self._progress = Progress()  # of the first rescue
        self._log_holds_erased = False
        try:
            self.connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not _has_code(error, sqlite3.SQLITE_CORRUPT):
                raise
            aside = self._move_aside(error)
            self.connection = self._connect()
            self._rescues.append(start_rescue(connect_reader(aside, busy_seconds=BUSY_SECONDS)))
        self._identity = self._seen = self._identify()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the body in one transaction, which is durable at the end."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def run(self, statements: Sequence[tuple[str, Sequence[str | int]]]) -> None:
        """Run statements, with their parameters, in one transaction. A single one needs none and costs less."""
        if len(statements) == 1:
            self.connection.execute(*statements[0])
        elif statements:
            with self.transaction() as connection:
                for statement, parameters in statements:
                    connection.execute(statement, parameters)

    def mark_erased(self) -> None:
        """Request that the write-ahead log be cleared, as it still contains the deleted rows."""
        self._log_holds_erased = True

    def clear_log(self) -> None:
        """Clear erased rows from the write-ahead log, as soon as no reader needs it."""
        if self._log_holds_erased:
            self._log_holds_erased = not self._empty_log()

    # ------------------------------------------------------------ a file that was deleted, replaced or is corrupt

    def follow_path(self) -> None:
        """Switch to a new file if ours was deleted or replaced, so that what is written can be found again."""
        found = self._identify()
        if found == self._identity:
            return
        if found != self._seen:
            logger.error(
                "database deleted or replaced while in use; copying its records",
                extra={"event": "store_replaced", "path": str(self.path)},
            )
            self._seen = found
        if found[0] == self._identity[0]:
            # Only the log was deleted: move its contents into the file.
            if not self._empty_log():
                raise sqlite3.OperationalError("the write-ahead log was deleted while another process reads it")
            old, self.connection = self.connection, self._connect()
            old.close()
        else:
            for suffix, ours, there in zip(SUFFIXES[1:], self._identity[1:], found[1:], strict=True):
                if there is not None and there == ours:
                    # SQLite would use it as the log of the new file, because of its name.
                    self._beside(suffix).unlink()
            self._switch_file()
        self._update_identity()

    def is_in_place(self) -> bool:
        """True if the file with the configured path is the one that was just written."""
        return self._identify() == self._identity

    def set_aside(self, damage: sqlite3.DatabaseError) -> None:
        """Move the corrupt file aside, create a new one, and queue the copy of the rows that can still be read."""
        self._move_aside(damage)
        self._switch_file()
        self._update_identity()

    def check(self) -> None:
        """Raise `Damaged` if the file is corrupt."""
        for (finding,) in self.connection.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise Damaged(finding)

    def rescue(self) -> bool:
        """Copy some rows from abandoned files; return True if there may be more. After an error, call it again."""
        if not self._rescues:
            return False
        with self.transaction() as connection:
            progress = self._rescues[0].step(connection, self._progress)
        # Not before the commit: on a full disk that is what fails, and it takes the rows back.
        self._progress = progress
        if progress.is_done:
            self._progress = Progress()
            self._rescues.popleft().close()
            text = "records copied into the new database: %d"
            logger.warning(text, progress.carried, extra={"event": "store_carried_over", "records": progress.carried})
        return bool(self._rescues)

    @property
    def is_rescuing(self) -> bool:
        """True as long as records of an abandoned file may be missing. Any thread may ask."""
        return bool(self._rescues)

    def rescue_all(self) -> None:
        """Copy all rows from abandoned files."""
        while self.rescue():
            pass

    def close(self) -> None:
        """Close the file."""
        for rescue in self._rescues:
            rescue.close()
        with suppress(sqlite3.Error):
            self.connection.close()

    def _empty_log(self) -> bool:
        """Checkpoint and truncate the write-ahead log; return False if a reader still needs it."""
        # The timeout is short, so that no put waits for that reader, which may be another process.
        self.connection.execute("PRAGMA busy_timeout = 20")
        try:
            busy: int = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return not busy

    def _connect(self) -> sqlite3.Connection:
        return connect_writer(self.path, self._schema, busy_seconds=BUSY_SECONDS)

    def _switch_file(self) -> None:
        try:
            fresh = self._connect()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._move_aside(error)
            fresh = self._connect()
        # The old connection still has the old file open, whatever its name is now.
        self._rescues.append(self._start_rescue(self.connection))
        self.connection = fresh

    def _update_identity(self) -> None:
        self._identity = self._seen = self._identify()
        self.generation += 1

    def _move_aside(self, damage: sqlite3.DatabaseError) -> Path:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        for suffix in SUFFIXES:
            with suppress(FileNotFoundError):
                self._beside(suffix).rename(aside.with_name(aside.name + suffix))
        logger.error(
            "database corrupt; moved aside and replaced by a new one: %s",
            damage,
            extra={"event": "store_corrupt", "path": str(self.path), "moved_to": str(aside)},
        )
        return aside

    def _identify(self) -> Identity:
        return tuple(map(_inode, self._files))

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """True if the file is corrupt, so that a retry cannot help."""
    return isinstance(error, Damaged) or _has_code(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _has_code(error: sqlite3.DatabaseError, *codes: int) -> bool:
    # The low byte of an extended code is the primary one (sqlite.org/rescode.html).
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_database(
    path: Path, schema: Schema, start_rescue: Callable[[sqlite3.Connection], Rescue]
) -> tuple[Database, FileLock]:
    """Lock a file and open it at the start. Raises `StartupError` if it cannot be used or another process uses it."""
    try:
        lock = FileLock(path)
        try:
            return Database(path, schema, start_rescue), lock
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise StartupError(f"store.url: {path} cannot be written: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StartupError(f"store.url: {path} cannot be used: {error}; repair it, or name another file") from error
