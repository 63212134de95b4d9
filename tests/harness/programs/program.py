"""A program that runs beside the test: started, waited for, stopped by its own process id."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.waiting import wait_for

STOP_SECONDS = 10.0
_MAX_SHOWN_CHARACTERS = 4_000


class ProgramError(Exception):
    """A program ended or stayed silent unexpectedly; the message ends with the last lines of its log."""


class Program:
    """One process. A test can wait for lines of its standard output; standard error goes to the file `log`.

    `output` has the lines of standard output so far.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self.output: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 (the commands are our own)
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=cwd,
                env=os.environ | dict(environ or {}),
            )
        self._reader = threading.Thread(target=self._read, name=f"{self.name} output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True if it has not ended yet."""
        return self._process.poll() is None

    def line_with(self, word: str, seconds: float = 60.0) -> str:
        """Return the next line of its output that contains a word. Raises `ProgramError` if it ends or is late."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self.error(f"did not say {word!r} within {seconds:g} s") from None
            if line is None:
                raise self.error(f"ended with exit code {self._process.wait()} before it said {word!r}")
            if word in line:
                return line

    def logged(self, *texts: str, after: int = 0) -> str:
        """Wait until the log contains texts, and return it. The first `after` characters of the log do not count.

        The bridge writes its log on a thread, a moment after the fact, and in the order of the facts: what was not to
        be logged is looked for behind a line about something later.
        """

        def found() -> str | None:
            log = self.log.read_text(errors="replace")[after:]
            return log if all(text in log for text in texts) else None

        return wait_for(found, f"{texts} in the log of {self.name}")

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Return its exit code once it has ended. Raises `ProgramError` if it is late, and kills it."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.error(f"did not end within {seconds:g} s") from None
        self._reader.join()
        return code

    def stop(self) -> int:
        """End it and return its exit code."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def error(self, message: str) -> ProgramError:
        """Return an error about it that shows the last of its log."""
        text = self.log.read_text(errors="replace")[-_MAX_SHOWN_CHARACTERS:]
        return ProgramError(f"{self.name} (process {self.pid}) {message}\n{self.log}:\n{text}")

    def _read(self) -> None:
        output = self._process.stdout
        if output is not None:
            with output:
                for line in output:
                    self.output.append(line.rstrip("\n"))
                    self._lines.put(self.output[-1])
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.is_running:
            self.kill() if kind else self.stop()
