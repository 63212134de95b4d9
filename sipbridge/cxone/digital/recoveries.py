"""The limit on the chats of one channel that recover at once, after a restart or an outage."""

from __future__ import annotations

import asyncio

# If all attempts time out, the last of a thousand chats waits 100 s for its turn, less than the usual queue timeout.
RECOVERIES_AT_ONCE = 100


def limit_recoveries() -> asyncio.Semaphore:
    """Return the limit of one channel."""
    return asyncio.Semaphore(RECOVERIES_AT_ONCE)
