"""The journal of calls in progress, and the two threads that write it.

An entry that is written survives the process. Only a Signal's must survive a loss of power as well, so only it waits
for a sync of the disk. What a call wrote is erased from the file within `TIDY_SECONDS` after its end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sipbridge.aio import resolve_futures
from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.calls.ports.store import Unfinished
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import Entry
from sipbridge.store.journal.file import JournalFile

LAZY_SECONDS = 0.05
# A handoff's entry waits this long for that of its Signal, which usually follows within a millisecond.
SIGNAL_SECONDS = 0.002
# The shortest time between two syncs, so that the Signals of a busy trunk share them; a lone one does not wait.
SYNC_SPACING_SECONDS = 0.01
TIDY_SECONDS = 60.0
WRITE_TIMEOUT_SECONDS = 1.0  # a caller waits no longer than this for a slow disk


class _Write(NamedTuple):
    entry: Entry
    done: asyncio.Future[bool] | None = None
    synced: bool = False
    written: Callable[[], None] | None = None


class FileJournal:
    """A `CallJournal` in a file. Belongs to one event loop. Raises `StartupError` if the file cannot be used.

    The loop never waits for a disk: it queues entries, and wakes one of two threads. The writer never syncs, so no
    caller who is about to be answered waits for that. The sync thread writes what is queued itself, so that a Signal
    wakes one thread and not two. If a sync hangs, the writer does all the writing.
    """

    def __init__(self, path: Path) -> None:
        self._file = JournalFile(path)
        self._queue: deque[_Write] = deque()
        # Held by the thread that takes entries from the queue until they are written, which keeps their order.
        self._appending = threading.Lock()
        # Resolved after the next sync: their entries are written. Changed only while `_appending` is held.
        self._unsynced: list[asyncio.Future[bool]] = []
        self._lazy_timer: asyncio.TimerHandle | None = None
        # By call: until a handoff's entry is known to be written with that of its Signal.
        self._handoff_timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False
        self._write_due, self._sync_due = _Flag(), _Flag()
        self._writer = threading.Thread(target=self._write, name="journal-writer", daemon=True)
        self._syncer = threading.Thread(target=self._sync, name="journal-sync", daemon=True)
        self._writer.start()
        self._syncer.start()

    def unfinished(self) -> list[Unfinished]:
        """Return the calls that an earlier run left open. Call it before anything is written."""
        return self._file.unfinished()

    async def begin(self, record: CallRecord, headers: Headers, *, withheld: bool = False) -> bool:
        """Record that the caller is about to be answered; return False if that could not be written in time."""
        after = entries.withheld([record.call_id] if withheld else [])
        return await self._write_now(entries.began(record, headers), *after, synced=False)

    def answered(self, call_id: str, at: datetime) -> None:
        """Record that the caller was answered."""
        self._write_later(entries.answered(call_id, at))

    def add_turns(self, call_id: str, turns: Sequence[Turn]) -> None:
        """Record that the transcript has grown by these turns."""
        self._write_later(entries.turns(call_id, turns))

    def handing_off(self, record: CallRecord) -> None:
        """Record that a handoff begins, whose record the store will have later."""
        if not self._closed:
            self._queue.append(_Write(entries.handing_off(record)))
            timer = asyncio.get_running_loop().call_later(SIGNAL_SECONDS, self._write_handoff, record.call_id)
            self._handoff_timers[record.call_id] = timer

    async def signalling(self, record: CallRecord, withheld: Sequence[str] = ()) -> bool:
        """Record that a Signal is about to be sent; return False if the disk did not confirm it in time."""
        synced = await self._write_now(*entries.withheld(withheld), entries.signalling(record), synced=True)
        timer = self._handoff_timers.pop(record.call_id, None)
        if timer is not None:  # it would wake the loop and the writer for nothing
            timer.cancel()
        return synced

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """Record the result of the Signal."""
        entry = entries.signalled(call_id, result)
        if result is SignalResult.UNDELIVERED:
            # If the bridge crashes before this is written, the contact is never signalled.
            self._write_at_once(entry)
        else:
            self._write_later(entry)

    def hanging_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None]) -> None:
        """Record that our BYE is about to be sent."""
        self._write_at_once(entries.hanging_up(call_id, by, at), written)

    def hung_up(
        self,
        call_id: str,
        by: EndedBy,
        at: datetime,
        written: Callable[[], None] | None = None,
        *,
        urgent: bool = True,
    ) -> None:
        """Record that the caller's leg has ended, or is about to by their BYE. If urgent, from any thread."""
        entry = entries.hung_up(call_id, by, at)
        if urgent:
            self._write_at_once(entry, written)
        else:
            self._write_later(entry)

    def stored(self, call_id: str) -> None:
        """Record that the call is over and its record is in the store."""
        self._write_later(entries.stored(call_id))

    def unstored(self, record: CallRecord) -> None:
        """Record that the call is over and its record could not be stored."""
        self._write_later(entries.ended(record))

    async def close(self) -> None:
        """Write the queued entries and close the file."""
        self._closed = True
        self._write_due.set()
        self._sync_due.set()
        await asyncio.to_thread(self._syncer.join)

    async def _write_now(self, *now: Entry, synced: bool) -> bool:
        if self._closed:
            return False
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        *first, last = now
        self._queue.extend([*map(_Write, first), _Write(last, done, synced)])
        if synced:
            self._sync_due.set()
            self._start_timer()  # an earlier sync may hang
        else:
            self._wake_writer()
        timer = loop.call_later(WRITE_TIMEOUT_SECONDS, _give_up, done)
        try:
            return await done
        finally:
            timer.cancel()

    def _write_at_once(self, entry: Entry, written: Callable[[], None] | None = None) -> None:
        """Write without the loop: if the bridge crashes before, it signals a contact whose call has ended."""
        if not self._closed:
            self._queue.append(_Write(entry, written=written))
            self._write_due.set()
        elif written is not None:
            written()

    def _write_later(self, entry: Entry) -> None:
        """Write with the next urgent entry or after `LAZY_SECONDS`: waking a thread costs more than the entry."""
        if not self._closed:
            self._queue.append(_Write(entry))
            self._start_timer()

    def _write_handoff(self, call_id: str) -> None:
        self._handoff_timers.pop(call_id, None)
        self._wake_writer()

    def _start_timer(self) -> None:
        if self._lazy_timer is None:
            self._lazy_timer = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake_writer)

    def _wake_writer(self) -> None:
        if self._lazy_timer is not None:
            self._lazy_timer.cancel()
            self._lazy_timer = None
        if self._queue:
            self._write_due.set()

    # ------------------------------------------------------------ on the two threads

    def _write(self) -> None:
        tidy_at = time.monotonic() + TIDY_SECONDS
        last = False
        while not last:
            self._write_due.wait(max(0.0, tidy_at - time.monotonic()))
            last = self._closed  # nothing is queued after that
            with self._appending:
                self._append_queued()
                if last or time.monotonic() >= tidy_at:
                    self._file.tidy()
                    tidy_at = time.monotonic() + TIDY_SECONDS

    def _sync(self) -> None:
        synced_at = float("-inf")
        last = False
        while not last:
            self._sync_due.wait()
            last = self._closed
            pause = synced_at + SYNC_SPACING_SECONDS - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            with self._appending:
                self._append_queued()
                waiting, self._unsynced = self._unsynced, []
            if waiting:
                resolve_futures(waiting, self._file.sync())
                synced_at = time.monotonic()
        self._writer.join()
        self._file.close()

    def _append_queued(self) -> None:
        """Write what is queued, and notify those who wait for no more than that."""
        writes = [self._queue.popleft() for _ in range(len(self._queue))]
        if not writes:
            return
        written = self._file.append([write.entry for write in writes])
        for write in writes:
            if write.written is not None:
                write.written()
        waiting = [write.done for write in writes if write.done is not None and not (written and write.synced)]
        resolve_futures(waiting, written)
        if written:
            self._unsynced += [write.done for write in writes if write.done is not None and write.synced]


def _give_up(done: asyncio.Future[bool]) -> None:
    if not done.done():
        done.set_result(False)


class _Flag:
    """A flag that one thread waits for, and that its wait takes down. `threading.Event` costs a multiple of this."""

    def __init__(self) -> None:
        self._down = threading.Lock()
        self._down.acquire()

    def set(self) -> None:
        """Raise the flag, from any thread."""
        with suppress(RuntimeError):  # it is up already
            self._down.release()

    def wait(self, seconds: float = -1) -> None:
        """Wait until the flag is up, for at most this time; -1 is for ever."""
        self._down.acquire(timeout=seconds)
