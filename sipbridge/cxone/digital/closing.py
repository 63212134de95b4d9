"""The end of a contact on behalf of the customer: a human agent must not wait for a customer who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sipbridge.errors import CxoneRefused, HttpError

CLOSING_TEXT_SECONDS = 2.0  # for the last text: the end matters more
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
GIVE_UP_SECONDS = 600.0


async def say_last(saying: Awaitable[object]) -> None:
    """Wait for the last text of a chat, for a moment at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_TEXT_SECONDS):
            await saying


async def end_contact(end: Callable[[], Awaitable[None]], fault: Callable[[str], None]) -> None:
    """End a contact as soon as CXone takes the request, unless it takes none for ten minutes.

    `end` raises `HttpError`; it is repeated unless CXone refuses it for good. `fault` gets the error of each attempt.
    """
    loop = asyncio.get_running_loop()
    pause, give_up_at = FIRST_PAUSE_SECONDS, loop.time() + GIVE_UP_SECONDS
    while loop.time() < give_up_at:
        asked = 0.0
        try:
            await end()
        except HttpError as error:
            fault(f"the contact was not ended: {error}")
            if isinstance(error, CxoneRefused):
                if not error.is_temporary:
                    return
                asked = min(error.retry_after, MAX_PAUSE_SECONDS)
        else:
            return
        await asyncio.sleep(max(asked, pause))
        pause = min(pause * 2, MAX_PAUSE_SECONDS)
