"""Log lines, written by a separate thread, so that no call waits for a terminal, a pipe or a disk."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from logging.handlers import QueueListener
from types import TracebackType
from typing import Self, TextIO

from sipbridge.errors import StartupError
from sipbridge.telemetry.log_lines import LogFormat, formatter_of

QUEUED_LINES = 10_000
STOP_SECONDS = 2.0
GATHER_SECONDS = 0.05  # how long the first line of a batch waits for others
# Settings of the library for fields that no format shows: the caller, thread and process. They are off while there is
# an output, as its Logging HOWTO suggests: to find the caller takes a quarter of the time of a line.
_UNUSED = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")

logger = logging.getLogger(__name__)

_Queue = queue.SimpleQueue[logging.LogRecord | None]


def configure_logging(level: str, stream: TextIO | None = None, log_format: LogFormat = "json") -> LogOutput:
    """Send the root logger's lines to a stream, by default standard error. `close` of the result stops that.

    `level` is a name such as `INFO`. Raises `ValueError` if it is not a valid level.
    """
    if level.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"{level!r} is not a valid log level; use DEBUG, INFO, WARNING or ERROR")
    stream = stream or sys.stderr
    return LogOutput(level.upper(), stream, formatter_of(log_format, stream))


def level_from(environ: Mapping[str, str]) -> str:
    """Return the level of SIPBRIDGE_LOG_LEVEL, else `INFO`. Raises `StartupError` for an unknown one."""
    level = environ.get("SIPBRIDGE_LOG_LEVEL") or "INFO"
    if level.upper() not in logging.getLevelNamesMapping():
        raise StartupError("SIPBRIDGE_LOG_LEVEL: is not a valid log level; write DEBUG, INFO, WARNING or ERROR")
    return level


class LogOutput:
    """The root logger's output to a stream, until `close`. Lines beyond `QUEUED_LINES` are dropped and counted."""

    def __init__(self, level: str, stream: TextIO, formatter: logging.Formatter) -> None:
        lines: _Queue = queue.SimpleQueue()
        self._enqueuer = _Enqueuer(lines)
        self._writer = _Writer(lines, stream, self._enqueuer, formatter)
        root = logging.getLogger()
        self._level_before = root.level
        self._settings_before = {name: getattr(logging, name) for name in _UNUSED}
        for name in _UNUSED:
            setattr(logging, name, None)
        root.addHandler(self._enqueuer)
        root.setLevel(level)
        self._writer.start()

    def close(self) -> None:
        """Detach from the root logger and write the queued lines; give up after some seconds if the stream is stuck."""
        root = logging.getLogger()
        root.removeHandler(self._enqueuer)
        root.setLevel(self._level_before)
        for name, value in self._settings_before.items():
            setattr(logging, name, value)
        self._writer.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Enqueuer(logging.Handler):
    """The log handler, which queues lines, or counts them if the queue is full. The writer thread formats them."""

    def __init__(self, lines: _Queue) -> None:
        super().__init__()
        self._lines = lines
        self._dropped = 0
        self._counting = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a line, without the lock of handlers, as the queue has its own."""
        if self._lines.qsize() < QUEUED_LINES:
            self._lines.put(record)
        else:
            with self._counting:
                self._dropped += 1
        return True

    def reset_dropped(self) -> int:
        """Return the number of lines dropped since the last call."""
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        return dropped


class _Writer(QueueListener):
    """The thread that writes lines, and logs how many were dropped."""

    queue: _Queue
    _thread: threading.Thread | None

    def __init__(self, lines: _Queue, stream: TextIO, source: _Enqueuer, formatter: logging.Formatter) -> None:
        self._lines = _Lines()
        self._lines.setFormatter(formatter)
        super().__init__(lines, self._lines)
        self._stream = stream
        self._source = source
        self._taken: deque[logging.LogRecord | None] = deque()

    def start(self) -> None:
        """Start the thread as the library does, but with a name that says what it does."""
        monitor = self._monitor  # type: ignore[attr-defined] # (typeshed leaves it out)
        self._thread = threading.Thread(target=monitor, name="log-writer", daemon=True)
        self._thread.start()

    def dequeue(self, block: bool) -> logging.LogRecord | None:  # type: ignore[override] # noqa: FBT001 (the library's signature; None ends)
        """Get lines in batches: waking the thread costs as much as a line."""
        if not self._taken:
            self._write_out()
            self._taken.append(self.queue.get(block))
            if self._taken[0] is not None:
                time.sleep(GATHER_SECONDS)
            with suppress(queue.Empty):
                while True:
                    self._taken.append(self.queue.get_nowait())
            self._log_dropped()
        return self._taken.popleft()

    def _write_out(self) -> None:
        text = self._lines.pop_text()
        if text:
            # If the stream is closed or full, there is nothing to report that to.
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()

    def _log_dropped(self) -> None:
        dropped = self._source.reset_dropped()
        if dropped:
            text, extra = "log lines were dropped", {"dropped": dropped}
            self.handle(logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (), None, extra=extra))

    def stop(self) -> None:
        """End the thread without waiting for a stuck stream; the library's own `stop` would wait for ever."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self.queue.put(None)
        thread.join(STOP_SECONDS)
        if not thread.is_alive():
            self._write_out()


class _Lines(logging.Handler):
    """Collects formatted lines."""

    def __init__(self) -> None:
        super().__init__()
        self._formatted: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._formatted.append(self.format(record))
        except Exception:  # noqa: BLE001 (as every handler of logging does)
            self.handleError(record)

    def pop_text(self) -> str:
        """Return the collected lines, each with a line end, and start again."""
        lines, self._formatted = self._formatted, []
        return "".join(f"{line}\n" for line in lines)
