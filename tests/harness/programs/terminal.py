"""A program at a terminal of its own, at which a test reads and types."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.waiting import wait_for


class Terminal:
    """A program with a terminal for its standard input, output and error; `text` is what the terminal shows so far."""

    def __init__(self, command: Sequence[str | Path], cwd: Path | None = None) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        self._read_characters = 0
        self.process = subprocess.Popen(  # noqa: S603 (our own)
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 (a password is read from /dev/tty)
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def answer(self, question: str, text: str) -> None:
        """Wait for a question after the last one, and type a line."""
        wait_for(lambda: question in self.text[self._read_characters :], f"the question {question!r}", 30)
        self._read_characters = len(self.text)
        os.write(self._ours, f"{text}\n".encode())

    def wait(self) -> int:
        """Return the exit code once the program has ended, and the terminal shows all that it wrote."""
        code = self.process.wait(20)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 4096)
            except OSError:  # EIO: the other end is closed
                return
            self.text += data.decode().replace("\r\n", "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        os.close(self._ours)


def _take_terminal() -> None:
    """Make it the terminal of this process, and let Ctrl-C end the process even if the tests ignore it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
