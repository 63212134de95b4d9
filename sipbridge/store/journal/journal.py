"""The journal of calls in progress: an append-only file that survives a crash, with one line per entry.

When most of the file belongs to calls that are over, it is rewritten with the entries of open calls only. So it stays
small, and what a call wrote is erased from it within `TIDY_SECONDS`.
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
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.calls.ports.store import Unfinished
from sipbridge.errors import StartupError
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import Entry, OpenCalls

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.05
TIDY_SECONDS = 60.0
WRITE_TIMEOUT_SECONDS = 1.0  # a caller waits no longer than this for a slow disk
_LOG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Write:
    entry: Entry
    done: asyncio.Future[bool] | None = None
    synced: bool = False
    written: Callable[[], None] | None = None


class FileJournal:
    """A `CallJournal` in a file. Belongs to one event loop. Raises `StartupError` if the file cannot be used.

    One thread writes, so that the loop never waits for a disk. A second thread syncs the disk, because a started Signal
    must survive a loss of power; so an entry of a caller who is about to be answered does not wait for a sync.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lazy: list[_Write] = []
        self._flush_due = False
        self._closed = False
        # An entry could not be written, or a line is corrupt: the file must be rewritten.
        self._needs_rewrite = False
        self._logged_at = float("-inf")
        self._writes: queue.SimpleQueue[list[_Write] | None] = queue.SimpleQueue()
        self._syncs: queue.SimpleQueue[list[asyncio.Future[bool]] | None] = queue.SimpleQueue()
        self._file = _open(path)
        self._open_calls = OpenCalls()
        left = path.read_bytes()
        for line in left.splitlines(keepends=True):
            # Also without a line end: the next entry would become part of an unreadable line.
            self._needs_rewrite |= not (self._open_calls.add_line(line) and line.endswith(b"\n"))
        self._bytes = len(left)
        # Held by the writer thread while it replaces the file, and by the sync thread while it syncs it.
        self._swapping = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, name="journal-writer", daemon=True),
            threading.Thread(target=self._sync, name="journal-sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def unfinished(self) -> list[Unfinished]:
        """Return the calls that an earlier run left open. Call it before anything is written."""
        return self._open_calls.unfinished()

    async def begin(self, record: CallRecord, headers: Headers) -> bool:
        """Record that the caller is about to be answered; return False if that could not be written in time."""
        return await self._write_now(entries.began(record, headers), synced=False)

    async def signalling(self, record: CallRecord) -> bool:
        """Record that a Signal is about to be sent; return False if the disk did not confirm it in time."""
        return await self._write_now(entries.signalling(record), synced=True)

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """Record the result of the Signal."""
        self._write_later(entries.signalled(call_id, result))
        if result is SignalResult.UNDELIVERED:
            # If the bridge crashes before this is written, the contact is never signalled.
            self._flush()

    def hanging_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None]) -> None:
        """Record that our BYE is about to be sent."""
        self._write_at_once(entries.hanging_up(call_id, by, at), written)

    def hung_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None] | None = None) -> None:
        """Record that the caller's leg has ended, or is about to by their BYE. From any thread."""
        self._write_at_once(entries.hung_up(call_id, by, at), written)

    def stored(self, call_id: str) -> None:
        """Record that the call is over and its record is in the store."""
        self._write_later(entries.stored(call_id))

    def unstored(self, record: CallRecord) -> None:
        """Record that the call is over and its record could not be stored."""
        self._write_later(entries.ended(record))

    async def close(self) -> None:
        """Write the queued entries and close the file."""
        if not self._closed:
            self._closed = True
            self._flush()
            self._writes.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _write_now(self, entry: Entry, *, synced: bool) -> bool:
        if self._closed:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lazy.append(_Write(entry, done, synced))
        self._flush()
        await wait_any(done, timeout=WRITE_TIMEOUT_SECONDS)
        return done.done() and done.result()

    def _write_at_once(self, entry: Entry, written: Callable[[], None] | None) -> None:
        """Write without the loop: if the bridge crashes before, it signals a contact whose call has ended."""
        if not self._closed:
            self._writes.put([_Write(entry, written=written)])
        elif written is not None:
            written()

    def _write_later(self, entry: Entry) -> None:
        """Write with the next urgent entry or after `LAZY_SECONDS`: waking the thread costs more than the entry."""
        if self._closed:
            return
        self._lazy.append(_Write(entry))
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(LAZY_SECONDS, self._flush_due_entries)

    def _flush_due_entries(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self._lazy:
            writes, self._lazy = self._lazy, []
            self._writes.put(writes)

    # ------------------------------------------------------------ the writer thread

    def _write(self) -> None:
        tidy_at = time.monotonic() + TIDY_SECONDS
        while True:
            writes, last = self._next_writes(tidy_at)
            if writes:
                self._append(writes)
            if last or time.monotonic() >= tidy_at:
                self._tidy()
                tidy_at = time.monotonic() + TIDY_SECONDS
            if last:
                self._syncs.put(None)
                return

    def _next_writes(self, until: float) -> tuple[list[_Write], bool]:
        """Wait for entries until then; return all that are queued, and True if they are the last."""
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
            self._open_calls.add(write.entry)
        waiting = [write.done for write in writes if write.done is not None and not (written and write.synced)]
        resolve_futures(waiting, written)
        for write in writes:
            if write.written is not None:
                write.written()
        if written and (to_sync := [write.done for write in writes if write.done is not None and write.synced]):
            self._syncs.put(to_sync)

    def _append_lines(self, lines: bytes) -> bool:
        try:
            self._rewrite_if_needed()
            _write_whole(self._file, lines)
        except OSError as error:
            self._needs_rewrite = True
            self._log_failure(error)
            return False
        self._bytes += len(lines)
        return True

    def _rewrite_if_needed(self) -> None:
        """Rewrite the file if it is incomplete, or was deleted or replaced. Raises `OSError`."""
        if not self._needs_rewrite:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(self._file).st_ino:
                    return
        self._rewrite()

    def _tidy(self) -> None:
        """Rewrite the file if it is incomplete, or if most of it belongs to calls that are over."""
        if self._needs_rewrite or self._bytes > 2 * self._open_calls.size:
            try:
                self._rewrite()
            except OSError as error:
                self._log_failure(error)

    def _rewrite(self) -> None:
        """Replace the file by one with the entries of open calls. Raises `OSError`."""
        new_path = self._path.with_name(f"{self._path.name}.new")
        lines = self._open_calls.lines()
        file = os.open(new_path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, lines)
            os.fsync(file)
            new_path.rename(self._path)
            _sync_folder(self._path.parent)
        except OSError:
            os.close(file)
            # On a full disk it would use up the space that the journal itself needs.
            with suppress(OSError):
                new_path.unlink()
            raise
        with self._swapping:
            os.close(self._file)
            self._file = file
        self._bytes = len(lines)
        self._needs_rewrite = False

    def _log_failure(self, error: OSError) -> None:
        if time.monotonic() >= self._logged_at + _LOG_SECONDS:
            self._logged_at = time.monotonic()
            extra = {"event": "journal_failed", "detail": f"{self._path}: {error.strerror or error}"}
            logger.error("journal not written: calls could not be recovered after a crash", extra=extra)

    # ------------------------------------------------------------ the sync thread

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
            self._log_failure(error)
            return False
        return True


def _open(path: Path) -> int:
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"store.journal: {path} cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        # The file is replaced from time to time; as root that would replace /dev/null.
        os.close(file)
        raise StartupError(f"store.journal: {path} is not a regular file; name one, or leave the key out")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise StartupError(f"store.journal: {path} is in use by another sipbridge; name another file") from None
    return file


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
