"""The results of writers, as those who wait for them get them."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from sipbridge.aio import wait_any
from sipbridge.errors import StoreError

T = TypeVar("T")


async def result_of(done: asyncio.Future[T]) -> T:
    """Wait for a future, and return its result or raise its error, as `result` does."""
    try:
        await wait_any(done)
        return result(done)
    finally:
        done.cancel()  # if this is cancelled: nothing waits for it any more


def result(done: asyncio.Future[T]) -> T:
    """Return the result of a future that is done, or raise what it has.

    A `StoreError` is raised as a copy. Many futures may get the same one, and the frames that it passes would hold the
    future, which holds the error: a cycle, for which memory waits until the garbage collector runs.
    """
    error = done.exception()
    if isinstance(error, StoreError):
        raise type(error)(*error.args)
    return done.result()
