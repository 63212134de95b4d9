"""A background thread that repeats an action during a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Worker:
    """Repeats `action` in a thread, `pause` seconds before each, until the block ends, which raises its exception."""

    def __init__(self, name: str, action: Callable[[], object], pause: Callable[[], float]) -> None:
        self._action = action
        self._pause = pause
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._pause()):
                self._action()
        except Exception as error:  # noqa: BLE001 (it is raised where the block ends)
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
