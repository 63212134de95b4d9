"""One process per database: it holds a file lock until it ends, and the kernel releases the lock after a crash."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sipbridge.errors import StartupError


class FileLock:
    """The lock on `PATH.lock`. The file stays after a release, as another process may have opened it already."""

    def __init__(self, path: Path) -> None:
        """Acquire it. Raises `StartupError` if another process holds it, and `OSError`."""
        # A separate file: closing any descriptor of the database itself would release SQLite's locks (POSIX).
        file = path.with_name(f"{path.name}.lock")
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip()
            self.release()
            raise StartupError(
                f"store.url: {path} is in use by another sipbridge (process {holder}); stop it, or name another file"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)
