"""The one function that polls, for conditions without an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.02

T = TypeVar("T")


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = 10.0) -> T:
    """Return the result of `probe` once it is true. Raises `TimeoutError`, naming `what`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}; last seen: {found!r}")
        time.sleep(POLL_SECONDS)
    return found
