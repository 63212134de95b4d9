"""The one thread that writes the chats. Changes that wait are committed together."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from sipbridge.aio import resolve_futures
from sipbridge.errors import StoreError
from sipbridge.store.chats.items import Change, Creation, Erasure, Item, Result
from sipbridge.store.chats.sync import DiskSync
from sipbridge.store.chats.tables import Tables
from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.retention import Retention

logger = logging.getLogger(__name__)

BATCH = 500  # items per transaction
# The pause between two batches, in which changes gather: a commit, and the wakes for it, cost more than a change.
# A message waits for one of them, each way: docs/benchmark.md has what it costs and delays.
GATHER_SECONDS = 0.025
CHECK_SECONDS = 1.0  # between checks of the file
DELIVERED_SECONDS = 0.2  # between writes of the positions of webhooks

T = TypeVar("T")


class Writer:
    """The thread that writes items into a database, in the order of `submit`, and resolves their futures.

    The first change after a pause is written at once. While it writes, and shortly after that, others gather.
    An item that cannot be written fails at once, and the next one is tried again.
    """

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._tables = Tables(database)
        self._writes: dict[type, Callable[[Sequence[Any], int], Sequence[Result]]] = {
            Creation: self._tables.create,
            Change: self._tables.change,
            Erasure: self._tables.erase,
        }
        self._retention = retention
        self._queue: queue.SimpleQueue[Sequence[Item]] = queue.SimpleQueue()
        self._marks: deque[tuple[str, int]] = deque()
        self._delivered: dict[str, int] = {}
        self._deliver_at = 0.0
        self._check_at = 0.0
        self._unusable: Exception | None = None
        self._failing_since: float | None = None
        self._suspected = threading.Event()
        self._closing = threading.Event()
        self._sync = DiskSync(database, self.suspect)
        self._thread = threading.Thread(target=self._run, name="chats-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Queue an item."""
        self._queue.put((item,))

    def wake(self) -> None:
        """Let the thread do what else is due."""
        self._queue.put(())

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note the position of a webhook. It is written some time after the next `submit` or `wake`."""
        self._marks.append((uid, sequence))

    def suspect(self) -> None:
        """Request an integrity check of the file, after an error was found in it."""
        self._suspected.set()

    def close(self) -> None:
        """Write what is queued, and stop. Blocks."""
        self._closing.set()
        self.wake()
        self._thread.join()
        self._sync.close()

    def _run(self) -> None:
        closing, items = False, self._next_items()
        while items or not closing:
            if time.monotonic() >= self._check_at:
                self._check()
            for kind, group in groupby(items, key=type):
                self._write(list(group), self._writes[kind])
            self._write_delivered()
            closing = self._closing.is_set()
            if items and not closing:
                time.sleep(GATHER_SECONDS)
            items = self._next_items()
        self._deliver_at = 0.0
        self._write_delivered()

    def _next_items(self) -> list[Item]:
        """Return the queued items, after a wait for the first ones."""
        until = min(self._check_at, self._deliver_at) if self._delivered else self._check_at
        wait = 0.0 if self._closing.is_set() else max(0.0, until - time.monotonic())
        items: list[Item] = []
        try:
            items += self._queue.get(timeout=wait)
            while len(items) < BATCH:
                items += self._queue.get_nowait()
        except queue.Empty:
            pass
        return items

    def _write(self, items: Sequence[Item], write: Callable[[Sequence[Any], int], Sequence[Result]]) -> None:
        """Write items of one kind together, and resolve their futures. Never raises, so that the thread goes on."""
        try:
            now = self._usable_now()
            try:
                results = self._repaired(lambda: write(items, now))
            except sqlite3.IntegrityError:
                results = [_write_one(item, write, now) for item in items]
        except Exception as error:  # noqa: BLE001 (every future must get the error)
            resolve_futures([item.done for item in items], self._note_failure(error))
            return
        self._note_success()
        _resolve(items, results)

    def _write_delivered(self) -> None:
        """Write the positions of webhooks if it is time. Never raises; what fails is written later."""
        while self._marks:
            uid, sequence = self._marks.popleft()
            self._delivered[uid] = max(sequence, self._delivered.get(uid, 0))
        if not self._delivered or time.monotonic() < self._deliver_at:
            return
        self._deliver_at = time.monotonic() + DELIVERED_SECONDS
        try:
            self._usable_now()
            self._repaired(lambda: self._tables.mark_delivered(self._delivered))
        except Exception as error:  # noqa: BLE001 (see above)
            self._note_failure(error)
            return
        self._delivered = {}
        self._note_success()

    def _usable_now(self) -> int:
        """Return the time. Raises the error of the last check of the file, if there was one."""
        if self._unusable:
            raise self._unusable
        return self._retention.clock.latest()

    # ------------------------------------------------------------ the file

    def _check(self) -> None:
        """Follow a file that was replaced, and erase what is too old. Never raises, so that the thread goes on."""
        self._check_at = time.monotonic() + CHECK_SECONDS
        try:
            self._repaired(self._follow_path)
        except Exception as error:  # noqa: BLE001 (see above)
            self._unusable = error
            self._note_failure(error)
            return
        self._unusable = None
        try:
            more = self._repaired(self._maintain)
        except Exception as error:  # noqa: BLE001 (see above)
            self._note_failure(error)
            return
        if more:
            self._check_at = time.monotonic()

    def _follow_path(self) -> None:
        self._database.follow_path()
        if self._suspected.is_set():
            self._suspected.clear()
            self._database.check()

    def _maintain(self) -> bool:
        """Take one step of each work that is due; return True if there is more."""
        self._retention.start(self._database)
        if self._tables.carry_over(self._retention.clock.latest()):
            self._sync.note_written()
        rescuing = self._database.rescue()
        purging = self._retention.purge_if_due(self._database)
        self._database.clear_log()
        return rescuing or purging

    def _repaired(self, work: Callable[[], T]) -> T:
        """Run a function; if the file is corrupt, set it aside and run the function again."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._database.set_aside(error)
            return work()

    def _note_failure(self, error: Exception) -> StoreError:
        failure = StoreError(f"the store could not be written: {error}")
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            logger.warning("%s; chats cannot go on", failure, extra={"event": "chat_store_failing"})
        return failure

    def _note_success(self) -> None:
        self._sync.note_written()
        if self._failing_since is not None:
            seconds = round(time.monotonic() - self._failing_since, 1)
            self._failing_since = None
            logger.warning(
                "the store of chats recovered after %g s",
                seconds,
                extra={"event": "chat_store_working", "seconds": seconds},
            )


def _write_one(item: Item, write: Callable[[Sequence[Any], int], Sequence[Result]], now: int) -> Result:
    try:
        return write([item], now)[0]
    except sqlite3.Error as error:
        return StoreError(f"a change of a chat could not be written: {error}")


def _resolve(items: Sequence[Item], results: Sequence[Result]) -> None:
    """Give the futures their results: all that get None in one turn of the loop."""
    if all(result is None for result in results):
        resolve_futures([item.done for item in items], None)
        return
    for item, result in zip(items, results, strict=True):
        resolve_futures([item.done], result)
