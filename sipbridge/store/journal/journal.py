"""The journal of calls in progress: a file that outlives the process, and what an earlier run left in it.

A line an entry, appended. The file is written anew with what is still open when most of it is not, so that it stays
small and what a call has left behind is gone from it within `TIDY_SECONDS`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sipbridge.aio import resolve_futures, wait_any
from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports import Headers, SignalResult, Unfinished
from sipbridge.errors import StartupError
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import Entry, OpenCalls

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.05
TIDY_SECONDS = 60.0
# A disk that hangs must keep no caller waiting.
PATIENCE_SECONDS = 1.0
_COMPLAINT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Write:
    entry: Entry
    done: asyncio.Future[bool] | None = None
    synced: bool = False
    written: Callable[[], None] | None = None


class FileJournal:
    """A `CallJournal` in a file. Belongs to one event loop. Raises `StartupError` where the file cannot be used.

    One thread writes, so that the loop never waits for a disk; another waits for the disk (a Signal that was begun must
    outlive a loss of power), so that no caller who is about to be answered waits with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lazy: list[_Write] = []
        self._flush_due = False
        self._closed = False
        # The file lacks something that could not be written, or has what is no entry: a new one is due.
        self._behind = False
        self._complained_at = float("-inf")
        self._writes: queue.SimpleQueue[list[_Write] | None] = queue.SimpleQueue()
        self._syncs: queue.SimpleQueue[list[asyncio.Future[bool]] | None] = queue.SimpleQueue()
        self._file = _open(path)
        self._open_calls = OpenCalls()
        left = path.read_bytes()
        for line in left.splitlines(keepends=True):
            # A torn end, too: what is appended to it would be part of a line that nobody can read.
            self._behind |= not (self._open_calls.read(line) and line.endswith(b"\n"))
        self._bytes = len(left)
        # Between the thread that may put another file in the place of this one, and the one that waits for its disk.
        self._swapping = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, name="journal-writer", daemon=True),
            threading.Thread(target=self._sync, name="journal-sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def unfinished(self) -> list[Unfinished]:
        """Tell what an earlier run left open; to be asked before anything is written."""
        return self._open_calls.unfinished()

    async def begin(self, record: CallRecord, headers: Headers) -> bool:
        """The caller is about to be answered."""
        return await self._now(entries.began(record, headers), synced=False)

    async def signalling(self, record: CallRecord) -> bool:
        """The first byte of a Signal is about to go out."""
        return await self._now(entries.signalling(record), synced=True)

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """What is known of the Signal."""
        self._soon(entries.signalled(call_id, result))
        if result is SignalResult.UNDELIVERED:
            # Until this is written, a crash leaves a contact that is never signalled.
            self._flush()

    def hung_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None] | None = None) -> None:
        """The caller's leg has ended. From any thread."""
        if not self._closed:
            # Not by way of the loop: until this is written, a crash has a contact signalled that is gone.
            self._writes.put([_Write(entries.hung_up(call_id, by, at), written=written)])
        elif written is not None:
            written()

    def stored(self, call_id: str) -> None:
        """The call is over, and its record is in the store."""
        self._soon(entries.stored(call_id))

    def unstored(self, record: CallRecord) -> None:
        """The call is over, and the store did not take its record."""
        self._soon(entries.ended(record))

    async def close(self) -> None:
        """Write what is queued and close."""
        if not self._closed:
            self._closed = True
            self._flush()
            self._writes.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _now(self, entry: Entry, *, synced: bool) -> bool:
        if self._closed:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lazy.append(_Write(entry, done, synced))
        self._flush()
        await wait_any(done, timeout=PATIENCE_SECONDS)
        return done.done() and done.result()

    def _soon(self, entry: Entry) -> None:
        """Let it ride with the next that is waited for, or go after `LAZY_SECONDS`: each wake-up costs more than it."""
        if self._closed:
            return
        self._lazy.append(_Write(entry))
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(LAZY_SECONDS, self._flush_late)

    def _flush_late(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self._lazy:
            writes, self._lazy = self._lazy, []
            self._writes.put(writes)

    # ------------------------------------------------------------ the writer's thread

    def _write(self) -> None:
        tidy_at = time.monotonic() + TIDY_SECONDS
        while True:
            writes, last = self._next(tidy_at)
            if writes:
                self._append(writes)
            if last or time.monotonic() >= tidy_at:
                self._tidy()
                tidy_at = time.monotonic() + TIDY_SECONDS
            if last:
                self._syncs.put(None)
                return

    def _next(self, until: float) -> tuple[list[_Write], bool]:
        """Wait for entries until that moment; return all that are there, and whether they are the last."""
        writes: list[_Write] = []
        with suppress(queue.Empty):
            item = self._writes.get(timeout=max(0.0, until - time.monotonic()))
            while item is not None:
                writes += item
                item = self._writes.get_nowait()
            return writes, True
        return writes, False

    def _append(self, writes: list[_Write]) -> None:
        written = self._append_lines(b"".join(write.entry.line for write in writes))
        for write in writes:
            self._open_calls.take(write.entry)
        waiting = [write.done for write in writes if write.done is not None and not (written and write.synced)]
        resolve_futures(waiting, written)
        for write in writes:
            if write.written is not None:
                write.written()
        if written and (to_sync := [write.done for write in writes if write.done is not None and write.synced]):
            self._syncs.put(to_sync)

    def _append_lines(self, lines: bytes) -> bool:
        try:
            self._catch_up()
            _write_whole(self._file, lines)
        except OSError as error:
            self._behind = True
            self._complain(error)
            return False
        self._bytes += len(lines)
        return True

    def _catch_up(self) -> None:
        """Begin anew where the file lacks something, or somebody has deleted or replaced it. Raises `OSError`."""
        if not self._behind:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(self._file).st_ino:
                    return
        self._rewrite()

    def _tidy(self) -> None:
        """Leave out what is over, where that is most of the file; make up for what it lacks."""
        if self._behind or self._bytes > 2 * self._open_calls.size:
            try:
                self._rewrite()
            except OSError as error:
                self._complain(error)

    def _rewrite(self) -> None:
        """Put a file with what is open in the place of this one. Raises `OSError`."""
        beside = self._path.with_name(f"{self._path.name}.new")
        lines = self._open_calls.lines()
        file = os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, lines)
            os.fsync(file)
            beside.rename(self._path)
            _sync_folder(self._path.parent)
        except OSError:
            os.close(file)
            # On a full disk it would take the room that the file itself needs.
            with suppress(OSError):
                beside.unlink()
            raise
        with self._swapping:
            os.close(self._file)
            self._file = file
        self._bytes = len(lines)
        self._behind = False

    def _complain(self, error: OSError) -> None:
        if time.monotonic() >= self._complained_at + _COMPLAINT_SECONDS:
            self._complained_at = time.monotonic()
            extra = {"event": "journal_failed", "detail": f"{self._path}: {error.strerror or error}"}
            logger.error("calls are not journalled: a crash now would not be made good", extra=extra)

    # ------------------------------------------------------------ the thread that waits for the disk

    def _sync(self) -> None:
        while (waiting := self._syncs.get()) is not None:
            last = False
            with suppress(queue.Empty):
                while not last:
                    more = self._syncs.get_nowait()
                    waiting += more or []
                    last = more is None
            resolve_futures(waiting, self._synced())
            if last:
                break
        os.close(self._file)

    def _synced(self) -> bool:
        try:
            with self._swapping:
                os.fdatasync(self._file)
        except OSError as error:
            self._complain(error)
            return False
        return True


def _open(path: Path) -> int:
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"store.journal: {path} cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        # Another is put in its place from time to time: root would so replace /dev/null.
        os.close(file)
        raise StartupError(f"store.journal: {path} is no file; name one, or leave it out")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise StartupError(f"store.journal: {path} is in use by another sipbridge; give each its own") from None
    return file


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
