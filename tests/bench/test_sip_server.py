from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from .sip_server import SipServer, wait_for_calls


class Counting:
    """A server whose calls are those of a list, one more look each time."""

    def __init__(self, *calls: int) -> None:
        self._calls: Iterator[int] = iter(calls)
        self._now = 0

    def calls_in_progress(self) -> int:
        self._now = next(self._calls, self._now)
        return self._now


def wait(count: int, seconds: float, *calls: int) -> int:
    return wait_for_calls(cast("SipServer", Counting(*calls)), count, seconds)


def test_it_returns_once_all_calls_are_in_progress() -> None:
    assert wait(3, 10, 0, 1, 3, 2) == 3


def test_when_the_time_is_over_it_returns_how_many_are() -> None:
    assert wait(3, 0.05, 0, 1, 2) == 2
