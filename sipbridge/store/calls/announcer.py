"""The milestones of calls without a record in the store: a call begins, is answered, and is to be handed off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sipbridge.aio import BackgroundTasks
from sipbridge.calls.events import CallAnswered, CallEnded, CallStarted, HandoffStarted
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.observer import SelectiveObserver
from sipbridge.errors import StoreError

GATHER_SECONDS = 0.1  # for announcements, which no call waits for
RETRY_SECONDS = 1.0

Write = Callable[[Sequence[CallRecord]], Awaitable[None]]


class Announcer(SelectiveObserver):
    """An observer of calls that writes their first milestones within `GATHER_SECONDS`. Belongs to one event loop.

    While the store fails, they wait until the record is put, which shows them too. `begun` has the records of the calls
    that were not put yet.
    """

    def __init__(self, write: Write) -> None:
        super().__init__(
            {
                CallStarted: self._begin,
                CallAnswered: self._begin,
                HandoffStarted: self._begin,
                CallEnded: self._end,
            }
        )
        self.begun: dict[str, CallRecord] = {}
        self._write_records = write
        self._waiting: dict[str, CallRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = BackgroundTasks()
        self._closed = False

    def on_put(self, call_id: str) -> None:
        """Announce nothing of a call whose record is put."""
        self.begun.pop(call_id, None)
        self._waiting.pop(call_id, None)

    async def flush(self) -> None:
        """Write what waits, once."""
        self._start()
        await self._tasks.wait()

    async def close(self) -> None:
        """Write what waits, once, and then nothing more."""
        self._closed = True
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, event: CallStarted | CallAnswered | HandoffStarted) -> None:
        if self._closed:
            return
        call_id = event.record.call_id
        self.begun[call_id] = self._waiting[call_id] = event.record
        self._start_later(GATHER_SECONDS)

    def _end(self, event: CallEnded) -> None:
        self.on_put(event.record.call_id)

    def _start_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._tasks.start(self._write())

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        try:
            await self._write_records(list(waiting.values()))
        except StoreError:
            again = {call_id: record for call_id, record in waiting.items() if call_id in self.begun}
            self._waiting = again | self._waiting
            self._start_later(RETRY_SECONDS)
