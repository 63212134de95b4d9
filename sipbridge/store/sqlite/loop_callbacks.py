"""From the store's threads back to those who wait on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


# After its put has failed, a call does what it does without a store; what comes of the record after that is told then.
AFTER_SECONDS = 1.0


def notify_on_loop(on_settled: Callable[[str], None] | None) -> Callable[[Collection[str]], None]:
    """Make what may be called on any thread with some calls, of what is to be called on this loop for each."""
    if on_settled is None:
        return lambda _: None
    loop, told = asyncio.get_running_loop(), on_settled

    def tell_each(call_ids: Collection[str]) -> None:
        for call_id in call_ids:
            told(call_id)

    def tell(call_ids: Collection[str]) -> None:
        if call_ids:
            with suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(loop.call_later, AFTER_SECONDS, tell_each, call_ids)

    return tell


def resolve_futures(waiters: Sequence[asyncio.Future[T]], result: T | Exception) -> None:
    """Tell those who wait, all on one loop, how it went."""
    if waiters:
        with suppress(RuntimeError):  # the loop is gone, and with it all who waited
            waiters[0].get_loop().call_soon_threadsafe(_answer, waiters, result)


def _answer(waiters: Sequence[asyncio.Future[T]], result: T | Exception) -> None:
    for waiter in waiters:
        if waiter.done():  # cancelled, or told before
            continue
        if isinstance(result, Exception):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)
