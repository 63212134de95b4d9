"""The one thread that writes the database. Pending rows are committed together, and stay pending if that fails."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque

from sipbridge.errors import StoreError
from sipbridge.store.calls.backlog import BATCH, Backlog, Erasure
from sipbridge.store.calls.database import erase_rows, put_rows
from sipbridge.store.calls.log_writer import LogWriter
from sipbridge.store.calls.settling import Settling
from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.retention import Retention

GATHER_SECONDS = 0.01  # how long the first put of a group waits for others: a commit costs as much as a dozen rows
RETRY_SECONDS = 1.0  # until pending rows are tried again and the file is checked
CLOSE_SECONDS = 3.0  # for the rows that are still pending at the end


class Writer:
    """The thread that writes the rows of a backlog into a database."""

    def __init__(
        self, database: Database, backlog: Backlog, retention: Retention, settling: Settling, log: LogWriter
    ) -> None:
        self._database = database
        self._backlog = backlog
        self._retention = retention
        self._settling = settling
        self._log = log
        self._erasures: list[Erasure] = []
        self._marks: deque[tuple[str, int]] = deque()
        self._delivered: dict[str, int] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._suspected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Start to write the pending rows."""
        if not self._wake.is_set():
            self._wake.set()

    def mark_delivered(self, call_id: str, sequence: int) -> None:
        """Note the position of a webhook. It is written with the next row, or within `RETRY_SECONDS`."""
        self._marks.append((call_id, sequence))

    def suspect(self) -> None:
        """Request an integrity check of the file, after a reader found an error in it."""
        self._suspected.set()
        self.wake()

    def close(self) -> None:
        """Write the pending rows for at most `CLOSE_SECONDS`, and close the file. Blocks."""
        self._closing.set()
        self.wake()
        self._thread.join()

    def _run(self) -> None:
        busy = True  # the first round erases what is too old
        while not self._closing.is_set():
            if not busy:
                self._wake.wait(RETRY_SECONDS)
            self._wake.clear()
            if len(self._backlog) and self._settling.failure is None:
                time.sleep(GATHER_SECONDS)
            busy = self._try_to_write()
        self._finish()
        self._database.close()

    def _try_to_write(self) -> bool:
        """Write one batch; return True if there is more to do. Never raises, so that the thread goes on."""
        try:
            try:
                more = self._write_batch()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._database.set_aside(error)
                more = self._write_batch()
        except Exception as error:  # noqa: BLE001 (every put that waits must get the error)
            erasures, self._erasures = self._erasures, []
            self._log.fail(StoreError(f"the log could not be written: {error}"))
            self._settling.failed(f"the store could not be written: {error}", erasures)
            return False
        if not more:
            self._settling.recovered()
        return more

    def _write_batch(self) -> bool:
        self._collect_marks()  # before the rows that they are about
        batch = self._backlog.next_batch()
        has_all = len(batch.entries) < BATCH
        self._erasures += batch.erasures
        self._database.follow_path()
        if self._suspected.is_set():
            self._suspected.clear()
            self._database.check()
        self._retention.start(self._database)
        entries = batch.entries
        while self._erasures:
            erased = self._erase(self._erasures[0])
            entries = [entry for entry in entries if entry.number not in erased]
            del self._erasures[0]
        log = self._log.rows(entry.row.reached for entry in entries)
        put_rows(self._database, entries, log, self._delivered if has_all else {})
        if log:
            if not self._database.is_in_place():
                return True
            self._settling.written(entries)
            self._log.settle()
        if has_all:
            self._delivered = {}
        self._log.trim_if_due(self._database)
        rescuing = self._database.rescue()
        purging = self._retention.purge_if_due(self._database)
        self._database.clear_log()
        # A smaller batch had all pending rows. A put that came meanwhile wakes the thread itself if it is urgent.
        return rescuing or purging or not has_all

    def _collect_marks(self) -> None:
        while self._marks:
            call_id, sequence = self._marks.popleft()
            self._delivered[call_id] = max(sequence, self._delivered.get(call_id, 0))

    def _erase(self, erasure: Erasure) -> set[int]:
        """Erase from the file and from the backlog; return the numbers of the erased backlog entries."""
        pending = self._backlog.matching(erasure)
        criteria = [(erasure.column, erasure.value), *(("call_id", entry.row.call_id) for entry in pending)]
        stored = erase_rows(self._database, erasure.client, erasure.project, criteria)
        self._settling.erased(erasure, pending, stored)
        return {entry.number for entry in pending}

    def _finish(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        while (more := self._try_to_write()) or len(self._backlog):
            if time.monotonic() > deadline:
                break
            if not more:
                time.sleep(RETRY_SECONDS / 10)
        self._settling.closed()
