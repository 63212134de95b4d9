"""The file of the journal: one line per entry, appended.

When most of the file belongs to calls that are over, it is rewritten with the entries of open calls only. So it stays
small, and what a call wrote is erased from it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sipbridge.calls.ports.store import Unfinished
from sipbridge.errors import StartupError
from sipbridge.store.journal.entries import Entry, OpenCalls

logger = logging.getLogger(__name__)

_LOG_SECONDS = 60.0


class JournalFile:
    """The file, and the calls that its entries leave open. Raises `StartupError` if the file cannot be used.

    One thread at a time may append or tidy, and another one may sync meanwhile. All methods block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        self._own = os.fstat(self._file)
        # An entry could not be written, or a line is corrupt: the file must be rewritten.
        self._needs_rewrite = False
        self._logged_at = float("-inf")
        self._open_calls = OpenCalls()
        left = path.read_bytes()
        for line in left.splitlines(keepends=True):
            # Also without a line end: the next entry would become part of an unreadable line.
            self._needs_rewrite |= not (self._open_calls.add_line(line) and line.endswith(b"\n"))
        self._bytes = len(left)
        # Held while the file is replaced or synced.
        self._swapping = threading.Lock()

    def unfinished(self) -> list[Unfinished]:
        """Return the open calls."""
        return self._open_calls.unfinished()

    def append(self, entries: Iterable[Entry]) -> bool:
        """Append entries with one write; return False if that failed. They are kept for the next try then."""
        written = self._append_lines(b"".join(entry.line for entry in entries))
        for entry in entries:
            self._open_calls.add(entry)
        return written

    def sync(self) -> bool:
        """Make what was appended survive a loss of power; return False if the disk did not confirm it."""
        try:
            with self._swapping:
                os.fdatasync(self._file)
        except OSError as error:
            self._log_failure(error)
            return False
        return True

    def tidy(self) -> None:
        """Rewrite the file if it is incomplete, or if most of it belongs to calls that are over."""
        if self._needs_rewrite or self._bytes > 2 * self._open_calls.size:
            try:
                self._rewrite()
            except OSError as error:
                self._log_failure(error)

    def close(self) -> None:
        """Close the file. Call it once, after everything else."""
        os.close(self._file)

    def _append_lines(self, lines: bytes) -> bool:
        try:
            if self._needs_rewrite or not self._is_in_place():
                self._rewrite()
            _write_whole(self._file, lines)
        except OSError as error:
            self._needs_rewrite = True
            self._log_failure(error)
            return False
        self._bytes += len(lines)
        return True

    def _is_in_place(self) -> bool:
        """False if the file was deleted or replaced."""
        try:
            return os.path.samestat(self._path.stat(), self._own)
        except FileNotFoundError:
            return False

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
        self._own = os.fstat(file)
        self._bytes = len(lines)
        self._needs_rewrite = False

    def _log_failure(self, error: OSError) -> None:
        if time.monotonic() >= self._logged_at + _LOG_SECONDS:
            self._logged_at = time.monotonic()
            extra = {"event": "journal_failed", "detail": f"{self._path}: {error.strerror or error}"}
            logger.error("journal not written: calls could not be recovered after a crash", extra=extra)


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
