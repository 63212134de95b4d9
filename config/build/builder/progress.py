"""The steps of a build, shown on the screen: the current ones, their times, and the log of one that fails."""

# ruff: noqa: S603  (every command line here is the build's own)
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

TAIL_LINES = 15
TAIL_BYTES = 8192
REDRAW_SECONDS = 0.15
LINE_SECONDS = 20
SPINNER = "|/-\\"
# Variables of make or a shell that would change the compilation, although the key of the cache does not have them.
NOT_INHERITED = {"CC", "CXX", "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LIBS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}

Note = Callable[[Path], str]


class StepFailed(Exception):
    """A failed step. The message is complete and is shown to the user."""


class Progress:
    """A runner of steps that shows them on standard error: in a moving line on a terminal, else a line every 20 s."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._screen = sys.stderr
        self._moving = self._screen.isatty()
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[float, Callable[[], str]]] = {}
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._finished = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Start showing steps."""
        self._ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End the processes that still run, and stop showing steps."""
        self.stop()
        self._finished.set()
        self._ticker.join()
        if self._moving:
            self._screen.write("\r\x1b[K")

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            self._screen.write(("\r\x1b[K" if self._moving else "") + text + "\n")
            self._screen.flush()

    @contextmanager
    def step(self, title: str, note: Callable[[], str] = str) -> Iterator[None]:
        """Show `title` while the body runs, and its time at the end."""
        started = time.monotonic()
        with self._lock:
            self._steps[title] = (started, note)
        try:
            yield
        finally:
            with self._lock:
                del self._steps[title]
        self.say(f"  {title:<52} {time.monotonic() - started:6.1f} s")

    def run(
        self,
        title: str,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        note: Note | None = None,
    ) -> Path:
        """Run a command as a step; return the path of the log with its output.

        Raises:
            StepFailed: the command failed; the message has the path and the end of the log.
        """
        log = self._logs / (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") + ".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output, self.step(title, lambda: (note or _last_line)(log)):
            try:
                code = self._wait(argv, output.fileno(), cwd, _environment(env))
            except OSError as error:
                raise StepFailed(f"{title}: cannot run {argv[0]}: {error.strerror}") from error
            if code:
                tail = "\n".join(f"    {line}" for line in _tail(log)[-TAIL_LINES:])
                raise StepFailed(f"{title}: failed (exit {code}). The end of its log:\n{tail}\n  Log: {log}")
        return log

    def together(self, *tasks: Callable[[], object]) -> None:
        """Run tasks at the same time; if one fails, stop the others and raise its error."""
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End all processes with their children. No later step starts."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                with suppress(PermissionError):  # a process under sudo ends with our terminal
                    os.killpg(process.pid, signal.SIGTERM)

    def _wait(self, argv: Sequence[str | Path], output: int, cwd: Path | None, env: Mapping[str, str]) -> int:
        # A process group of its own, so that make's children end with it. The session is ours, because sudo needs that.
        with self._lock:
            if self._stopped:
                raise StepFailed("stopped")
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env, process_group=0
            )
            self._processes.add(process)
        # Polled only under the lock, so that `stop` never signals the number of a process that has ended.
        while True:
            with self._lock:
                code = process.poll()
                if code is not None:
                    self._processes.remove(process)
                    return code
            time.sleep(0.02)

    def _tick(self) -> None:
        turn = 0
        while not self._finished.wait(REDRAW_SECONDS if self._moving else LINE_SECONDS):
            turn += 1
            with self._lock:
                steps = list(self._steps.items())
            texts = [f"{title} {time.monotonic() - at:.0f} s {note()}".rstrip() for title, (at, note) in steps]
            if self._moving and texts:
                width = shutil.get_terminal_size().columns - 1
                line = f"{SPINNER[turn % len(SPINNER)]} " + " | ".join(texts)
                with self._lock:
                    self._screen.write("\r\x1b[K" + line[:width])
                    self._screen.flush()
            else:
                for text in texts:
                    self.say(f"  ... {text}"[:120])


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return {**kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def _tail(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _last_line(log: Path) -> str:
    lines = _tail(log)
    return f"({lines[-1].strip()[:60]})" if lines else ""
