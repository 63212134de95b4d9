"""Waiting for one of several things, and for one thing to be over."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


async def first_of(*awaited: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncio.wait's)
    """Return when one of them is done, or after `timeout` seconds; none is cancelled, none is looked at."""
    await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


async def settle(task: asyncio.Future[Any]) -> None:
    """Cancel a task that is not done, and wait until it is; what it raises is not wanted any more."""
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
