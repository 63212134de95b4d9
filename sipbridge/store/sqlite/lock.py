"""One bridge a database: who opens it holds a lock for as long as it lives, and the kernel takes it back."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sipbridge.errors import StartupError


class FileLock:
    """The lock on `PATH.lock`, which stays when it is let go: a file that others may wait for must not be deleted."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises `StartupError` where another process has it, and `OSError`."""
        # Of its own: closing any descriptor of the database itself would let go of SQLite's locks (POSIX).
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
        """Let it go."""
        os.close(self._descriptor)
