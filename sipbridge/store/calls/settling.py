"""The results of a writer: resolves the futures of puts and erasures, and logs that the store fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from sipbridge.aio import resolve_futures
from sipbridge.calls.model import CallState
from sipbridge.errors import CallTakenOver, StoreError
from sipbridge.store.calls.backlog import Backlog, Entry, Erasure

logger = logging.getLogger(__name__)

# A call whose put failed first does what it does without a store, and then learns what became of its record.
SETTLED_DELAY_SECONDS = 1.0


class OnSettled(Protocol):
    """The listener for calls whose last record was erased or refused, or was written after its put had given up."""

    def __call__(self, call_id: str, *, stands: bool) -> None:
        """Take the id of a call. `stands` is true if the store has the record as it was put."""


class Notify(Protocol):
    """The same for several calls, from any thread."""

    def __call__(self, call_ids: Collection[str], *, stands: bool) -> None:
        """Take the ids of calls."""


class Settling:
    """The results of a writer. While it fails, `failure` says why. May be used from any thread.

    `notify` learns of the last records of calls, see `OnSettled`.
    """

    def __init__(self, backlog: Backlog, notify: Notify) -> None:
        self.failure: str | None = None
        self.notify = notify
        self._backlog = backlog
        self._failing_since = 0.0

    def written(self, entries: Sequence[Entry]) -> None:
        """Remove written rows from the backlog, and resolve their puts."""
        late = [entry for entry in entries if entry.was_given_up]
        self._settle(entries, None)
        self.notify(_ended(late), stands=True)

    def erased(self, erasure: Erasure, pending: Sequence[Entry], stored: Iterable[str]) -> None:
        """Resolve an erasure of `pending` rows, which become written for their puts, and of `stored` calls."""
        self._settle(pending, None)
        call_ids = {*stored, *(entry.row.call_id for entry in pending)}
        self.notify(call_ids, stands=False)
        resolve_futures([erasure.done], len(call_ids))

    def dropped(self, entries: Sequence[Entry]) -> None:
        """Remove rows of calls that another node has erased, and resolve their puts."""
        self._settle(entries, None)
        self.notify(_ended(entries), stands=False)

    def superseded(self, entries: Sequence[Entry]) -> None:
        """Remove rows of calls that another node has taken over. Their puts raise an error."""
        self._settle(entries, CallTakenOver("record refused: another node has taken the call over"))
        self.notify(_ended(entries), stands=False)

    def failed(self, failure: str, erasures: Iterable[Erasure] = ()) -> None:
        """Resolve all puts and erasures with an error. From now on no put waits, until `recovered`."""
        if self.failure is None:
            self._failing_since = time.monotonic()
            logger.warning("%s; records wait in memory", failure, extra={"event": "store_failing"})
        self.failure = failure
        resolve_futures(self._backlog.waiters(), StoreError(failure))
        ended = [*erasures, *self._backlog.next_batch().erasures]
        resolve_futures([erasure.done for erasure in ended], StoreError(failure))

    def recovered(self) -> None:
        """Let puts wait again, after all rows were written."""
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

    def closed(self) -> None:
        """Log the rows that are lost, as the writer has ended."""
        if lost := len(self._backlog) + self._backlog.dropped:
            logger.error(
                "records unwritten when the store closed: %d (%s)",
                lost,
                self.failure,
                extra={"event": "records_unwritten", "records": lost},
            )

    def _settle(self, entries: Sequence[Entry], result: StoreError | None) -> None:
        self._backlog.discard(entries)
        resolve_futures([waiter for entry in entries for waiter in entry.waiters], result)


def _ended(entries: Iterable[Entry]) -> list[str]:
    return [entry.row.call_id for entry in entries if entry.row.state == CallState.ENDED]


def notify_on_loop(on_settled: OnSettled | None) -> Notify:
    """Return what any thread may notify of calls; `on_settled` gets each of them on this event loop."""
    loop = asyncio.get_running_loop()

    def notify(call_ids: Collection[str], *, stands: bool) -> None:
        if call_ids and on_settled:
            each = [partial(on_settled, call_id, stands=stands) for call_id in call_ids]
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(loop.call_later, SETTLED_DELAY_SECONDS, _run_each, each)

    return notify


def _run_each(functions: Iterable[Callable[[], None]]) -> None:
    for function in functions:
        function()
