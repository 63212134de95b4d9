"""A small disk for one program, which a test can make fail, in mount and user namespaces of Linux."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .program import Program

# Without the capability to ignore the modes of folders, which root has in its own namespace.
_MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec setpriv --bounding-set=-dac_override "$@"'
_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""
_CHECKPOINT = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10) as connection:
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
sys.exit(busy)
"""
_OVERWRITE = """
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.write(b"overwritten".ljust(4096) * (os.path.getsize(sys.argv[1]) // 4096))
"""
_CONTACTS = """
import json, sqlite3, sys
for (body,) in sqlite3.connect(sys.argv[1]).execute("SELECT body FROM calls"):
    print(json.loads(body)["contact_id"])
"""


class SmallDisk:
    """A file system mounted on a folder, visible only to the program that uses it."""

    def __init__(self, folder: Path, *, size: str = "3m") -> None:
        folder.mkdir()
        self.folder = folder
        self.launcher: Sequence[str | Path] = (
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            _MOUNT,
            "sh",
            size,
            folder,
        )
        self._program: Program | None = None

    def set_program(self, program: Program) -> None:
        """Set the program that uses it."""
        self._program = program

    @property
    def program(self) -> Program:
        """The program that uses it."""
        assert self._program is not None
        return self._program

    def path(self, name: str) -> Path:
        """Return the path of one of its files, as seen from outside."""
        return Path(f"/proc/{self.program.pid}/root{self.folder / name}")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill the disk to the last byte."""
        filler = self.path("filler")
        try:
            with filler.open("wb", buffering=0) as file:
                for size in (65536, 1):
                    _write_until_full(file.write, size)
            yield
        finally:
            filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Prevent files from being created, renamed or deleted."""
        self.path("").chmod(0o500)
        try:
            yield
        finally:
            self.path("").chmod(0o700)

    @contextmanager
    def failing_writes(self) -> Iterator[None]:
        """Make each write fail that extends a file: SQLite sees a disk error (EIO)."""
        old = resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, (0, old[1]))
        try:
            yield
        finally:
            resource.prlimit(self.program.pid, resource.RLIMIT_FSIZE, old)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep a write transaction of another process open on the database."""
        command = self._command_inside(_LOCK, name)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:  # noqa: S603 (our own)
            assert locker.stdout is not None
            try:
                assert locker.stdout.readline() == "locked\n"
                yield
            finally:
                locker.communicate("")

    def checkpoint(self, name: str) -> None:
        """Checkpoint a database's write-ahead log into its file, and truncate the log."""
        subprocess.run(self._command_inside(_CHECKPOINT, name), check=True)  # noqa: S603 (our own)

    def overwrite(self, name: str) -> None:
        """Overwrite all of a database, in place."""
        self.checkpoint(name)
        subprocess.run(self._command_inside(_OVERWRITE, name), check=True)  # noqa: S603 (our own)

    def contacts(self, name: str) -> set[str]:
        """Return the contacts whose records are in the file."""
        run = subprocess.run(self._command_inside(_CONTACTS, name), check=True, capture_output=True, text=True)  # noqa: S603 (our own)
        return set(run.stdout.split())

    def _command_inside(self, script: str, name: str) -> list[str]:
        return [*self._enter(), sys.executable, "-c", script, str(self.folder / name)]

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.program.pid}", "--user", "--mount", "--preserve-credentials", "--"]


def _write_until_full(write: object, size: int) -> None:
    assert callable(write)
    try:
        while True:
            write(bytes(size))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
