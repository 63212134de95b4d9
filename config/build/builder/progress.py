"""Steps on the screen: what is running, how long it took, and where to look when one fails."""

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
# What make and a user's shell would smuggle into the compiler, past the key of the cache.
NOT_INHERITED = {"CC", "CXX", "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LIBS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}

Note = Callable[[Path], str]


class StepFailed(Exception):
    """A step did not succeed; the message is for the user and complete."""


class Progress:
    """Runs steps and shows them on standard error: a moving line on a terminal, now and then a plain one elsewhere."""

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
        """Start drawing."""
        self._ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop drawing, and what still runs."""
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
        """Show `title` while the body runs, and its time when it is done."""
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
        """Run a command as a step; what it prints goes to a log, whose path is returned.

        Raises:
            StepFailed: the command failed; the message names the log and shows its end.
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
        """Run tasks at the same time; the first to fail stops the others and is raised."""
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
        """End what is running, with its children; no later step starts."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                with suppress(PermissionError):  # it runs under sudo, which ends it with our terminal
                    os.killpg(process.pid, signal.SIGTERM)

    def _wait(self, argv: Sequence[str | Path], output: int, cwd: Path | None, env: Mapping[str, str]) -> int:
        # A process group of its own, so that make's children end with it; the session stays, for sudo's ticket.
        with self._lock:
            if self._stopped:
                raise StepFailed("stopped")
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env, process_group=0
            )
            self._processes.add(process)
        # Reaped under the lock only: `stop` must not signal the number of a process that is gone.
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
