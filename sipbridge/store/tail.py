"""The new entries of logs, passed on to their followers as they are added."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sipbridge.aio import cancel_and_wait, wait_any
from sipbridge.calls.ports.event_log import Position
from sipbridge.errors import StoreError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Positioned(Protocol):
    """An entry of a log."""

    @property
    def position(self) -> Position:
        """Its position in the log."""


K = TypeVar("K", bound=Hashable)
E = TypeVar("E", bound=Positioned)
E_co = TypeVar("E_co", bound=Positioned, covariant=True)


class Source(Protocol[K, E_co]):
    """The logs of an engine, each with a key. Methods raise `StoreError`."""

    async def newest(self, key: K) -> Position:
        """Return the position of the last entry; `BEGINNING` if there is none."""

    async def next(self, after: Mapping[K, Position]) -> Sequence[tuple[K, Sequence[E_co]]]:
        """Return entries after these positions by log, once there are any, or none after a while. May be cancelled."""


@dataclass(slots=True)
class _Followed(Generic[E]):
    """A log that has followers, and the position of the last entry that was passed on."""

    last: Position
    listener: Callable[[Sequence[E]], Awaitable[None]]
    followers: int = 0


class Tail(Generic[K, E]):
    """One task that reads all logs that are followed. Belongs to one event loop.

    Invariant: each entry that is added while a log is followed is passed on, in order, whatever happens to the store
    meanwhile, unless it was dropped. After a failure of the store it is passed on again.
    """

    def __init__(self, source: Source[K, E]) -> None:
        self._source = source
        self._followed: dict[K, _Followed[E]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_followed(self) -> bool:
        """True if a log has followers."""
        return bool(self._followed)

    @asynccontextmanager
    async def follow(self, key: K, listener: Callable[[Sequence[E]], Awaitable[None]]) -> AsyncIterator[None]:
        """Pass on the entries that are added while the block runs. All followers of a log share the listener.

        Raises `StoreError` if the store does not respond at the beginning; then the block does not run.
        """
        last = await self._source.newest(key)
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = _Followed(last, listener)
            self._changed.set()
        followed.followers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="event-tail")
        try:
            yield
        finally:
            followed.followers -= 1
            if not followed.followers:
                del self._followed[key]
                self._changed.set()

    async def close(self) -> None:
        """Pass on nothing more."""
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def _run(self) -> None:
        while self._followed:
            self._changed.clear()
            try:
                for key, entries in await self._next():
                    await self._pass_on(key, entries)
            except StoreError as error:
                logger.debug("events not read: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _next(self) -> Sequence[tuple[K, Sequence[E]]]:
        """Return new entries by log, once there are any; none if the logs to follow have changed."""
        after = {key: followed.last for key, followed in self._followed.items()}
        reading = asyncio.ensure_future(self._source.next(after))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await wait_any(reading, changed)
            return reading.result() if reading.done() else ()
        finally:
            for task in (reading, changed):
                await cancel_and_wait(task)

    async def _pass_on(self, key: K, entries: Sequence[E]) -> None:
        followed = self._followed.get(key)
        if followed is None:
            return
        try:
            await followed.listener(entries)
        except StoreError:
            raise
        except Exception:
            logger.exception("events not passed on", extra={"event": "internal_error"})
        followed.last = entries[-1].position
