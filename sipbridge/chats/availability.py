"""The availability of human agents, which bots may ask for at any rate."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from sipbridge.aio import independent_task
from sipbridge.chats.ports import Availability, DigitalChannel

MAX_AGE_SECONDS = 3.0


class AvailabilityCache:
    """The last availability of each channel, and the request in progress for all who ask. Belongs to one event loop."""

    def __init__(self) -> None:
        # By channel, so that one of another configuration version is asked itself.
        self._known: WeakKeyDictionary[DigitalChannel, tuple[Availability, float]] = WeakKeyDictionary()
        self._asking: WeakKeyDictionary[DigitalChannel, asyncio.Task[Availability]] = WeakKeyDictionary()

    async def of(self, channel: DigitalChannel) -> Availability:
        """Return the availability of a channel, as of at most `MAX_AGE_SECONDS` ago. Never raises."""
        found, until = self._known.get(channel, (None, 0.0))
        if found is not None and asyncio.get_running_loop().time() < until:
            return found
        if channel not in self._asking:
            self._asking[channel] = independent_task(self._ask(channel))
        # Another requester may disconnect while this one waits.
        return await asyncio.shield(self._asking[channel])

    async def _ask(self, channel: DigitalChannel) -> Availability:
        try:
            found = await channel.availability()
            self._known[channel] = (found, asyncio.get_running_loop().time() + MAX_AGE_SECONDS)
        finally:
            del self._asking[channel]
        return found
