"""The one task that writes the records of calls. Rows that gather while it waits for Redis go together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.store import Undelivered
from sipbridge.errors import StoreError
from sipbridge.store.calls.backlog import Backlog, Entry, Erasure
from sipbridge.store.calls.settling import Settling
from sipbridge.store.redis import keys
from sipbridge.store.redis.call_events import EVENTS_KEPT, announcement
from sipbridge.store.redis.call_webhooks import Marks, UndeliveredCalls, position_of
from sipbridge.store.redis.recent_puts import RecentPuts
from sipbridge.store.redis.scripts import ERASE_CALLS, PUT_CALL, Command
from sipbridge.store.redis.server import Server, first_error

ROWS = 200  # per round trip: about a megabyte
WRITE_SECONDS = 2.0  # for a round trip. No call waits so long, see `PUT_SECONDS`.
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 3.0  # for the rows that are still pending at the end


class WaitingPut(NamedTuple):
    """The put of a record that waits to be written: its command, and what takes the response to it."""

    command: Command
    settle: Callable[[Any], None]


class Writer:
    """The task that writes the rows of a backlog, under the node's term: an owner that came later overrules it.

    The revision of a record is the number of its put in this process.
    """

    def __init__(
        self,
        server: Server,
        backlog: Backlog,
        settling: Settling,
        term: int,
        retention: timedelta,
        undelivered: UndeliveredCalls | None,
    ) -> None:
        self._server = server
        self._backlog = backlog
        self._settling = settling
        self._term = term
        self._undelivered = undelivered
        self._retention_ms = max(1, round(retention.total_seconds() * 1000))
        self._recent = RecentPuts()
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="store-writer")

    def wake(self) -> None:
        """Start to write the pending rows."""
        self._wake.set()

    def write_again(self) -> None:
        """Write the records of the last moments once more: Redis may have lost them."""
        self._recent.write_again()
        self.wake()

    def waiting_put(self, call_id: str) -> WaitingPut | None:
        """Return the put of a call's record, to be sent with other commands; None if none waits, or Redis is away."""
        entry = self._backlog.entry_of(call_id)
        if entry is None or self._settling.failure is not None:
            return None
        return WaitingPut(self._put_command(entry), lambda result: self._settle([entry], [result]))

    async def announce(self, records: Sequence[CallRecord]) -> None:
        """Write the milestones of calls without a record. Raises `StoreError`."""
        commands: list[Command] = []
        for record in records:
            with suppress(StoreError):  # the record has text that cannot be stored
                commands.append(announcement(record, self._retention_ms))
        _raise_error(await self._server.run(commands, seconds=WRITE_SECONDS))

    async def close(self) -> None:
        """Write the pending rows for at most `CLOSE_SECONDS`, and end."""
        self._closing = True
        self.wake()
        await self._task

    async def _run(self) -> None:
        busy = False
        while not self._closing:
            if not busy:
                await self._wait()
            self._wake.clear()
            busy = await self._try_to_write()
        await self._finish()

    async def _wait(self) -> None:
        failing = self._settling.failure is not None
        try:
            async with asyncio.timeout(RETRY_SECONDS if failing else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _try_to_write(self) -> bool:
        """Write one batch; return True if there is more to do. Raises nothing, so that the task goes on."""
        marks = self._undelivered.take() if self._undelivered else {}  # before the rows that they are about
        batch = self._backlog.next_batch(ROWS)
        has_all = len(batch.entries) < ROWS
        erasures = list(batch.erasures)
        try:
            erased = [number for erasure in batch.erasures for number in await self._erase(erasures, erasure)]
            await self._put([entry for entry in batch.entries if entry.number not in erased])
            if has_all:
                await self._mark_delivered(marks)
                marks = {}
            await self._put_again(self._recent.due(ROWS))  # last, as puts of this moment wait for theirs
        except Exception as error:  # noqa: BLE001 (every put that waits must get the error)
            self._settling.failed(f"the store could not be written: {error}", erasures)
            return False
        finally:
            if self._undelivered and marks:
                self._undelivered.put_back(marks)
        if has_all:
            self._settling.recovered()
        # Puts that failed at once, as Redis had not responded yet, have woken nothing.
        return not has_all or len(self._backlog) > 0 or self._recent.has_due

    async def _put(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        results = await self._server.run([self._put_command(each) for each in entries], seconds=WRITE_SECONDS)
        self._settle(entries, results)
        _raise_error(results)

    async def _put_again(self, entries: Sequence[Entry]) -> None:
        """Put records of which Redis may have lost the last state. What it has, or has newer, stays."""
        if entries:
            commands = [self._put_command(each) for each in entries]
            _raise_error(await self._server.run(commands, seconds=WRITE_SECONDS))
            self._recent.written_again(entries)

    def _settle(self, entries: Sequence[Entry], results: Sequence[Any]) -> None:
        """Settle the entries that Redis has accepted or refused; those with an error stay pending."""
        self._recent.add(entry for entry, each in zip(entries, results, strict=True) if each == "written")
        for result, settle in (
            ("written", self._settling.written),
            ("erased", self._settling.dropped),
            ("superseded", self._settling.superseded),
        ):
            settle([entry for entry, each in zip(entries, results, strict=True) if each == result])

    async def _mark_delivered(self, marks: Marks) -> None:
        if self._undelivered and marks:
            _raise_error(await self._server.run(self._undelivered.commands(marks), seconds=WRITE_SECONDS))

    async def _erase(self, open_erasures: list[Erasure], erasure: Erasure) -> list[int]:
        """Erase from Redis and from the backlog; return the numbers of the erased backlog entries."""
        pending = self._backlog.matching(erasure)
        command = self._erase_command(erasure, [entry.row.call_id for entry in pending])
        results = await self._server.run([command], seconds=WRITE_SECONDS)
        _raise_error(results)
        self._recent.erase(erasure)
        self._settling.erased(erasure, pending, results[0])
        open_erasures.remove(erasure)
        return [entry.number for entry in pending]

    def _put_command(self, entry: Entry) -> Command:
        row = entry.row
        key = keys.call_keys(row.client, row.project)
        undelivered = self._undelivered if entry.for_webhook else None
        return PUT_CALL.command(
            (
                *(key.call + row.call_id, key.calls, key.shared + row.shared_id, key.erased + row.call_id, keys.TERMS),
                *(key.begun + row.call_id, key.events),
                *([undelivered.key] if undelivered else []),
            ),
            *(self._term, entry.number, row.call_id, row.shared_id, row.started_at, row.body),
            *(self._retention_ms, key.call, key.shared, row.milestone, EVENTS_KEPT),
            *([position_of(Undelivered(row.client, row.project, row.call_id, 0))] if undelivered else []),
        )

    def _erase_command(self, erasure: Erasure, call_ids: list[str]) -> Command:
        key = keys.call_keys(erasure.client, erasure.project)
        by_shared_id = erasure.column == "shared_id"
        indexes = [key.calls, *([key.shared + erasure.value] if by_shared_id else [])]
        named = call_ids if by_shared_id else {erasure.value, *call_ids}
        prefixes = (key.call, key.shared, key.erased, key.begun)
        return ERASE_CALLS.command(indexes, self._term, erasure.number, self._retention_ms, *prefixes, *named)

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSE_SECONDS
        while (more := await self._try_to_write()) or len(self._backlog):
            if loop.time() > deadline:
                break
            if not more:
                await asyncio.sleep(RETRY_SECONDS / 10)
        self._settling.closed()


def _raise_error(results: Sequence[Any]) -> None:
    error: RedisError | None = first_error(results)
    if error is not None:
        raise StoreError(f"Redis: {error}")
