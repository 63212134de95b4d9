"""The one thread that writes the chats. Changes that wait are committed together."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sipbridge.aio import resolve_futures
from sipbridge.errors import StoreError
from sipbridge.store.chats.sync import DiskSync
from sipbridge.store.chats.tables import Change, Creation, Erasure, Result, Tables
from sipbridge.store.sqlite.database import Database, is_damage
from sipbridge.store.sqlite.retention import Retention

logger = logging.getLogger(__name__)

BATCH = 500  # items per transaction
CHECK_SECONDS = 1.0  # between checks of the file
DELIVERED_SECONDS = 0.2  # between writes of the positions of webhooks

Item = Creation | Change
T = TypeVar("T")


class Writer:
    """The thread that writes items into a database, in the order of `submit`, and resolves their futures.

    An item that cannot be written fails at once, and the next one is tried again.
    """

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._tables = Tables(database)
        self._retention = retention
        self._queue: queue.SimpleQueue[Sequence[Item | Erasure]] = queue.SimpleQueue()
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

    def submit(self, items: Sequence[Item | Erasure]) -> None:
        """Queue items, and wake the thread."""
        self._queue.put(items)

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note the position of a webhook. It is written some time after the next `submit`."""
        self._marks.append((uid, sequence))

    def suspect(self) -> None:
        """Request an integrity check of the file, after an error was found in it."""
        self._suspected.set()

    def close(self) -> None:
        """Write what is queued, and stop. Blocks."""
        self._closing.set()
        self.submit(())
        self._thread.join()
        self._sync.close()

    def _run(self) -> None:
        closing, items = False, self._next_items()
        while items or not closing:
            if time.monotonic() >= self._check_at:
                self._check()
            self._process(items)
            closing = self._closing.is_set()
            items = self._next_items()
        self._deliver_at = 0.0
        self._write([])

    def _next_items(self) -> list[Item | Erasure]:
        """Return the queued items, after a wait for the first ones."""
        until = min(self._check_at, self._deliver_at) if self._delivered else self._check_at
        wait = 0.0 if self._closing.is_set() else max(0.0, until - time.monotonic())
        items: list[Item | Erasure] = []
        try:
            items += self._queue.get(timeout=wait)
            while len(items) < BATCH:
                items += self._queue.get_nowait()
        except queue.Empty:
            pass
        return items

    def _process(self, items: Sequence[Item | Erasure]) -> None:
        group: list[Item] = []
        for item in items:
            if isinstance(item, Erasure):
                self._write(group)
                group = []
                self._erase(item)
            else:
                group.append(item)
        self._write(group)

    def _write(self, items: Sequence[Item]) -> None:
        """Write items together, and positions of webhooks if it is time. Never raises, so that the thread goes on."""
        delivered = self._due_positions()
        if not items and not delivered:
            return
        if delivered:
            self._deliver_at = time.monotonic() + DELIVERED_SECONDS
        try:
            results = self._commit(items, delivered)
        except Exception as error:  # noqa: BLE001 (every future must get the error)
            waiting: list[asyncio.Future[Any]] = [item.done for item in items]
            resolve_futures(waiting, self._note_failure(error))
            return
        if delivered:
            self._delivered = {}
        self._note_success()
        _resolve(items, results)

    def _commit(self, items: Sequence[Item], delivered: Mapping[str, int]) -> list[Result]:
        if self._unusable:
            raise self._unusable
        now = self._retention.clock.latest()
        try:
            return self._repaired(lambda: self._tables.write(items, delivered, now))
        except sqlite3.IntegrityError:
            results = [self._commit_one(item, now) for item in items]
            self._tables.write([], delivered, now)
            return results

    def _commit_one(self, item: Item, now: int) -> Result:
        try:
            return self._tables.write([item], {}, now)[0]
        except sqlite3.Error as error:
            return StoreError(f"a change of a chat could not be written: {error}")

    def _erase(self, erasure: Erasure) -> None:
        def erase() -> int:
            if self._unusable:
                raise self._unusable
            return self._tables.erase(erasure.client, erasure.project, erasure.column, erasure.value)

        result: int | StoreError
        try:
            result = self._repaired(erase)
        except Exception as error:  # noqa: BLE001 (the future must get the error)
            result = self._note_failure(error)
        resolve_futures([erasure.done], result)

    def _due_positions(self) -> Mapping[str, int]:
        while self._marks:
            uid, sequence = self._marks.popleft()
            self._delivered[uid] = max(sequence, self._delivered.get(uid, 0))
        return self._delivered if time.monotonic() >= self._deliver_at else {}

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


def _resolve(items: Sequence[Item], results: Sequence[Result]) -> None:
    """Give the futures their results: first the creations and the errors, then all others in one turn of the loop."""
    written: list[asyncio.Future[Any]] = []
    for item, result in zip(items, results, strict=True):
        done: asyncio.Future[Any] = item.done
        if result is None:
            written.append(done)
        else:
            resolve_futures([done], result)
    resolve_futures(written, None)
