"""The one thread that writes the database: what waits is committed together, and waits on where the store fails."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence

from sipbridge.aio import resolve_futures
from sipbridge.calls.model import CallState
from sipbridge.errors import StoreError
from sipbridge.store.sqlite.backlog import BATCH, Backlog, Entry, Erasure
from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.retention import Retention

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.01  # what the first put of a group waits for others: each commit costs as much as a dozen rows
LOOK_SECONDS = 1.0  # what waits is tried again, the file looked after
CLOSE_SECONDS = 3.0  # for what waits still, at the end


class Writer:
    """Writes what a backlog holds into a database. `failure` says why that does not work, while it does not.

    `on_settled` is told of calls whose last record was written after its put was given up, or erased.
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
        """Write what waits."""
        if not self._wake.is_set():
            self._wake.set()

    def suspect(self) -> None:
        """See whether the file is damaged, as a reader found."""
        self._suspected.set()
        self.wake()

    def close(self) -> None:
        """Write what waits, for as long as that may take at the end, and close the file. Blocks."""
        self._closing.set()
        self.wake()
        self._thread.join()

    def _run(self) -> None:
        busy = True  # at the start, what is too old is erased
        while not self._closing.is_set():
            if not busy:
                self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            if len(self._backlog) and self.failure is None:
                time.sleep(GATHER_SECONDS)
            busy = self._work()
        self._finish()
        self._database.close()

    def _work(self) -> bool:
        """Do what is to be done; return whether there is more. Never raises: the thread goes on whatever it is."""
        try:
            try:
                more = self._turn()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._database.set_aside(error)
                more = self._turn()
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait must hear of it)
            self._failed(f"the store could not be written: {error}")
            return False
        if not more:
            self._worked()
        return more

    def _turn(self) -> bool:
        turn = self._backlog.take()
        self._erasures += turn.erasures
        self._database.keep()
        if self._suspected.is_set():
            self._suspected.clear()
            self._database.check()
        entries = turn.entries
        while self._erasures:
            erased = self._erase(self._erasures[0])
            entries = [entry for entry in entries if entry.number not in erased]
            del self._erasures[0]
        if entries:
            self._database.put(entry.row for entry in entries)
            if not self._database.is_in_place():
                return True
            self._forget(entries)
        rescuing = self._database.rescue()
        purging = self._retention.purge_if_due(self._database)
        self._database.clear_log()
        # Fewer were all there were: a put that came meanwhile has its own wish for haste, or none.
        return rescuing or purging or len(turn.entries) == BATCH

    def _erase(self, erasure: Erasure) -> set[int]:
        """Erase from the file and from what waits; return the numbers of the latter."""
        waiting = self._backlog.matching(erasure)
        criteria = [(erasure.column, erasure.value), *(("call_id", entry.row.call_id) for entry in waiting)]
        erased = self._database.erase(erasure.client, erasure.project, criteria)
        self._forget(waiting)
        erased |= {entry.row.call_id for entry in waiting}
        self._on_settled(erased)
        resolve_futures([erasure.done], len(erased))
        return {entry.number for entry in waiting}

    def _forget(self, entries: Sequence[Entry]) -> None:
        self._backlog.discard(entries)
        late = [entry.row.call_id for entry in entries if entry.was_given_up and entry.row.state == CallState.ENDED]
        resolve_futures([waiter for entry in entries for waiter in entry.waiters], None)
        self._on_settled(late)

    def _failed(self, failure: str) -> None:
        if self.failure is None:
            self._failing_since = time.monotonic()
            logger.warning("%s; records wait in memory", failure, extra={"event": "store_failing"})
        # From here on puts don't wait for another try, and those that wait already need not either.
        self.failure = failure
        resolve_futures(self._backlog.waiters(), StoreError(failure))
        erasures, self._erasures = [*self._erasures, *self._backlog.take().erasures], []
        resolve_futures([erasure.done for erasure in erasures], StoreError(failure))

    def _worked(self) -> None:
        if self.failure is not None:
            self.failure = None
            seconds = round(time.monotonic() - self._failing_since, 1)
            logger.warning(
                "the store works again after %g s; records lost: %d",
                seconds,
                self._backlog.dropped,
                extra={"event": "store_working", "seconds": seconds, "lost": self._backlog.dropped},
            )
            self._backlog.dropped = 0

    def _finish(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        while (more := self._work()) or len(self._backlog):
            if time.monotonic() > deadline:
                break
            if not more:
                time.sleep(LOOK_SECONDS / 10)
        if lost := len(self._backlog) + self._backlog.dropped:
            logger.error(
                "the store is closed without records that it did not take: %d (%s)",
                lost,
                self.failure,
                extra={"event": "records_unwritten", "records": lost},
            )
