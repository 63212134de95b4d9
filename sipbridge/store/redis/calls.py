"""The records of calls in Redis, shared by all nodes. While it is away, they wait in memory and are found there."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Self

from sipbridge.calls.events import TurnsAdded
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.observer import Observer, SelectiveObserver
from sipbridge.calls.ports.store import Undelivered
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StoreError
from sipbridge.store.bodies import END_OF_TIME, microseconds
from sipbridge.store.calls import rows
from sipbridge.store.calls.announcer import Announcer
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.calls.has_webhook import HasWebhook, has_none
from sipbridge.store.calls.puts import Puts
from sipbridge.store.calls.settling import OnSettled, Settling, notify_on_loop
from sipbridge.store.redis import keys
from sipbridge.store.redis.call_events import RedisCallLog
from sipbridge.store.redis.call_webhooks import UndeliveredCalls
from sipbridge.store.redis.call_writer import WaitingPut, Writer
from sipbridge.store.redis.checks import check_and_take_term
from sipbridge.store.redis.scripts import Command
from sipbridge.store.redis.server import Server
from sipbridge.store.start_wait import StartWait

PUT_SECONDS = 0.3  # a call waits no longer for Redis
PAGE = 100  # records per round trip


class RedisStore:
    """A `RecordStore` in Redis. Belongs to one event loop.

    A record expires `retention` after its last put. For the callbacks see `SqliteStore`. The calls whose webhook waits
    for events are those of `node`; without its id, none is noted.
    """

    def __init__(
        self,
        server: Server,
        term: int,
        node: str | None,
        *,
        retention: timedelta,
        on_settled: OnSettled | None,
        has_webhook: HasWebhook,
    ) -> None:
        self._server = server
        self._undelivered = None if node is None else UndeliveredCalls(server, node)
        self._has_webhook = has_webhook
        self._backlog = Backlog()
        settling = Settling(self._backlog, notify_on_loop(on_settled))
        self._writer = Writer(server, self._backlog, settling, term, retention, self._undelivered)
        self._announcer = Announcer(self._writer.announce)
        self.observe: Observer = SelectiveObserver({**self._announcer.handlers, TurnsAdded: self._put_turns})
        self.events = RedisCallLog(server)
        self._puts = Puts(self._backlog, settling, self._writer.wake, PUT_SECONDS)
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: RedisUrl,
        node: str | None = None,
        *,
        retention: timedelta,
        on_settled: OnSettled | None = None,
        has_webhook: HasWebhook = has_none,
        wait: StartWait | None = None,
    ) -> Self:
        """Connect. Raises `ConfigError` if Redis cannot be used."""
        server = Server(url)
        try:
            term = await check_and_take_term(server, url, wait)
            return cls(server, term, node, retention=retention, on_settled=on_settled, has_webhook=has_webhook)
        except BaseException:
            await server.close()
            raise

    @property
    def waiting(self) -> int:
        """Number of records that are not written yet."""
        return len(self._backlog)

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, which replaces an older one of the same call. Redis has it on return.

        If this raises `StoreError` because Redis is away, after `PUT_SECONDS` at most, the record waits in memory.
        """
        self._check_open()
        for_webhook = record.state is CallState.ENDED and self._has_webhook(record.client, record.project)
        self._announcer.on_put(record.call_id)
        await self._puts.put(rows.to_row(record, 0), urgent=urgent, for_webhook=for_webhook)

    def put_later(self, record: CallRecord) -> None:
        """Replace the record as `put` does, without waiting for Redis.

        The claim of the Signal takes the put with it, so that other nodes find the record before CXone has the Signal.
        """
        self._check_open()
        self._announcer.on_put(record.call_id)
        self._puts.put_later(rows.to_row(record, 0))

    def waiting_put(self, call_id: str) -> WaitingPut | None:
        """Return the put of a call's record, to be sent with other commands; None if none waits, or Redis is away."""
        return self._writer.waiting_put(call_id)

    def write_again(self) -> None:
        """Write the records of the last moments once more: after a failover, Redis may have lost them."""
        self._writer.write_again()

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""
        self._check_open()
        row = self._backlog.row_of(call_id)
        if row is not None:
            return rows.to_record(row.body) if (row.client, row.project) == (client, project) else None
        return rows.newest(await self._read(client, project, [call_id]))

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id. If Redis is away, look in the backlog only."""
        self._check_open()
        waiting = self._backlog.of_project(client, project)
        found = [rows.Found.of(row) for row in waiting.values() if row.shared_id == shared_id]
        index = keys.call_keys(client, project).shared + shared_id
        try:
            found += await self._select(client, project, index, but=waiting)
        except StoreError:
            if not found:
                raise
        return rows.newest(found)

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project that started before `before`, newest first."""
        self._check_open()
        until = microseconds(before) if before else END_OF_TIME
        waiting = self._backlog.of_project(client, project)
        found = [rows.Found.of(row) for row in waiting.values() if row.started_at < until]
        index = keys.call_keys(client, project).calls
        found += await self._select(client, project, index, until=until, but=waiting, limit=limit)
        return rows.newest_first(found, limit)

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of a call; return False if there is none."""
        self._check_open()
        return bool(await self._puts.erase(client, project, "call_id", call_id))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase the records with that shared id; return their number."""
        self._check_open()
        return await self._puts.erase(client, project, "shared_id", shared_id)

    async def undelivered(self) -> list[Undelivered]:
        """Return the ended calls of this node whose webhook did not get all events, without those that have expired."""
        self._check_open()
        return await self._undelivered.read() if self._undelivered else []

    def mark_delivered(self, client: str, project: str, call_id: str, sequence: int) -> None:
        """Note that the webhook has got the events of an ended call up to this sequence."""
        if self._undelivered and not self._closed:
            self._undelivered.mark(Undelivered(client, project, call_id, sequence), self._writer.wake)

    def _put_turns(self, event: TurnsAdded) -> None:
        """Put the record of a call that is handed off, for pages that show it."""
        if event.record.handoff is not None and not self._closed:
            with suppress(StoreError):
                self._puts.put_later(rows.to_row(event.record, 0))

    async def close(self) -> None:
        """Write the pending records within a time limit, and close."""
        if self._closed:
            return
        self._closed = True
        await self.events.close()
        await self._announcer.close()
        await self._writer.close()
        await self._server.close()

    async def _select(
        self,
        client: str,
        project: str,
        index: str,
        *,
        until: int = END_OF_TIME,
        but: Container[str] = (),
        limit: int = 1,
    ) -> list[rows.Found]:
        """Return the first records of an index, newest first, except those of the calls in `but`, which are newer."""
        found: dict[str, rows.Found] = {}
        for page in range(END_OF_TIME):
            call_ids = (await self._server.read([_newest(index, until, page)]))[0]
            wanted = [call_id for call_id in call_ids if call_id not in but]
            found |= {each.call_id: each for each in await self._read(client, project, wanted)}
            if len(found) >= limit or len(call_ids) < PAGE:
                break
        return list(found.values())[:limit]

    async def _read(self, client: str, project: str, call_ids: list[str]) -> list[rows.Found]:
        """Return the records that have not expired."""
        if not call_ids:
            return []
        prefix = keys.call_keys(client, project).call
        results = await self._server.read([("HMGET", prefix + call_id, "started_at", "body") for call_id in call_ids])
        pairs = zip(call_ids, results, strict=True)
        return [rows.Found(call_id, int(started_at), body) for call_id, (started_at, body) in pairs if body is not None]

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _newest(index: str, until: int, page: int) -> Command:
    return ("ZRANGE", index, f"({until}", "-inf", "BYSCORE", "REV", "LIMIT", page * PAGE, PAGE)
