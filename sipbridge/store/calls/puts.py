"""The path of a row into the backlog, and the wait until its writer has written it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipbridge.aio import wait_any
from sipbridge.calls.model import CallState
from sipbridge.errors import StoreError
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.calls.rows import Row
from sipbridge.store.calls.settling import Settling
from sipbridge.store.results import result, result_of

LAZY_SECONDS = 0.1


class Puts:
    """The puts and erasures of one event loop. `wake` lets the writer begin.

    A put waits for at most `timeout` seconds, or as long as the writer takes.
    """

    def __init__(
        self, backlog: Backlog, settling: Settling, wake: Callable[[], None], timeout: float | None = None
    ) -> None:
        self._backlog = backlog
        self._settling = settling
        self._wake = wake
        self._timeout = timeout
        self._wake_scheduled = False

    async def put(self, row: Row, *, urgent: bool, for_webhook: bool = False) -> None:
        """Add a row and wait until it is written. Raises `StoreError` if that fails; the row waits in memory then."""
        failure = self._settling.failure
        if failure is not None:
            self._backlog.add(row, for_webhook=for_webhook)
            raise StoreError(failure)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backlog.add(row, done, for_webhook=for_webhook)
        if urgent:
            self._wake()
        else:
            self._wake_later()
        try:
            await self._written(done)
        except (asyncio.CancelledError, StoreError):
            # The writer may have written it before it learned that this put gives up.
            if (
                row.state == CallState.ENDED
                and not self._backlog.dropped
                and self._backlog.row_of(row.call_id) is not row
            ):
                self._settling.notify([row.call_id], stands=True)
            raise

    def put_later(self, row: Row) -> None:
        """Add a row that the writer writes with others. Raises `StoreError` if it is known to fail."""
        self._backlog.add(row)
        self._wake_later()
        if self._settling.failure is not None:
            raise StoreError(self._settling.failure)

    async def erase(self, client: str, project: str, column: str, value: str) -> int:
        """Erase the matching records that were put before; return the number of their calls. Raises `StoreError`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._backlog.erase(client, project, column, value, done)
        self._wake()
        return await result_of(done)

    async def _written(self, done: asyncio.Future[None]) -> None:
        try:
            await wait_any(done, timeout=self._timeout)
            if done.done():
                return result(done)
        finally:
            done.cancel()  # so that its entry counts as given up
        # The puts after this one do not wait, until the writer has caught up.
        failure = f"the store has not responded within {self._timeout:g} s"
        self._settling.failed(failure)
        raise StoreError(failure)

    def _wake_later(self) -> None:
        if not self._wake_scheduled:
            self._wake_scheduled = True
            asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake_now)

    def _wake_now(self) -> None:
        # The flag first: a put from now on schedules its own wake, so that none is missed.
        self._wake_scheduled = False
        self._wake()
