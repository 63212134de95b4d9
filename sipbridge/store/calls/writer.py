"""The one thread that writes the database. Pending rows are committed together, and stay pending if that fails."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence

from sipbridge.aio import resolve_futures
from sipbridge.calls.model import CallState
from sipbridge.errors import StoreError
from sipbridge.store.calls.backlog import BATCH, Backlog, Entry, Erasure
from sipbridge.store.calls.database import erase_rows, put_rows
from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.retention import Retention

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.01  # how long the first put of a group waits for others: a commit costs as much as a dozen rows
RETRY_SECONDS = 1.0  # until pending rows are tried again and the file is checked
CLOSE_SECONDS = 3.0  # for the rows that are still pending at the end


class Writer:
    """The thread that writes the rows of a backlog into a database. While that fails, `failure` says why.

    `on_settled` gets the ids of calls whose last record was erased, or was written after its put had given up.
    """

    def __init__(
        self, database: Database, backlog: Backlog, retention: Retention, on_settled: Callable[[Collection[str]], None]
    ) -> None:
        self.failure: str | None = None
        self._database = database
        self._backlog = backlog
        self._retention = retention
        self._on_settled = on_settled
        self._erasures: list[Erasure] = []
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._suspected = threading.Event()
        self._failing_since = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Start to write the pending rows."""
        if not self._wake.is_set():
            self._wake.set()

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
            if len(self._backlog) and self.failure is None:
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
            self._record_failure(f"the store could not be written: {error}")
            return False
        if not more:
            self._record_success()
        return more

    def _write_batch(self) -> bool:
        batch = self._backlog.next_batch()
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
        if entries:
            put_rows(self._database, [entry.row for entry in entries])
            if not self._database.is_in_place():
                return True
            self._discard(entries)
        rescuing = self._database.rescue()
        purging = self._retention.purge_if_due(self._database)
        self._database.clear_log()
        # A smaller batch had all pending rows. A put that came meanwhile wakes the thread itself if it is urgent.
        return rescuing or purging or len(batch.entries) == BATCH

    def _erase(self, erasure: Erasure) -> set[int]:
        """Erase from the file and from the backlog; return the numbers of the erased backlog entries."""
        pending = self._backlog.matching(erasure)
        criteria = [(erasure.column, erasure.value), *(("call_id", entry.row.call_id) for entry in pending)]
        erased = erase_rows(self._database, erasure.client, erasure.project, criteria)
        self._discard(pending)
        erased |= {entry.row.call_id for entry in pending}
        self._on_settled(erased)
        resolve_futures([erasure.done], len(erased))
        return {entry.number for entry in pending}

    def _discard(self, entries: Sequence[Entry]) -> None:
        self._backlog.discard(entries)
        late = [entry.row.call_id for entry in entries if entry.was_given_up and entry.row.state == CallState.ENDED]
        resolve_futures([waiter for entry in entries for waiter in entry.waiters], None)
        self._on_settled(late)

    def _record_failure(self, failure: str) -> None:
        if self.failure is None:
            self._failing_since = time.monotonic()
            logger.warning("%s; records wait in memory", failure, extra={"event": "store_failing"})
        # From now on puts do not wait for the next try; those that wait already fail at once.
        self.failure = failure
        resolve_futures(self._backlog.waiters(), StoreError(failure))
        erasures, self._erasures = [*self._erasures, *self._backlog.next_batch().erasures], []
        resolve_futures([erasure.done for erasure in erasures], StoreError(failure))

    def _record_success(self) -> None:
        if self.failure is not None:
            self.failure = None
            seconds = round(time.monotonic() - self._failing_since, 1)
            logger.warning(
                "the store recovered after %g s; records lost: %d",
                seconds,
                self._backlog.dropped,
                extra={"event": "store_working", "seconds": seconds, "lost": self._backlog.dropped},
            )
            self._backlog.dropped = 0

    def _finish(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        while (more := self._try_to_write()) or len(self._backlog):
            if time.monotonic() > deadline:
                break
            if not more:
                time.sleep(RETRY_SECONDS / 10)
        if lost := len(self._backlog) + self._backlog.dropped:
            logger.error(
                "records unwritten when the store closed: %d (%s)",
                lost,
                self.failure,
                extra={"event": "records_unwritten", "records": lost},
            )
