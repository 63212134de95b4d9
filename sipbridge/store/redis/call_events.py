"""The log of calls in Redis: a capped stream per project, whose entries have no content.

| what | who writes it | what it has |
|---|---|---|
| an entry of `call-events` | each put of a record, in the same step | the call, and the range of its new milestones |
| `call-begun` | `announcement`, until the first put of the record | the record, for the first milestones |

So the events of a dead node's calls come from the rescuer's puts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager

from sipbridge.calls.milestones import last_sequence
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import Listener, LogEntry, Position
from sipbridge.store.bodies import to_body
from sipbridge.store.calls import rows
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import ANNOUNCE_CALL, Command
from sipbridge.store.redis.server import Server
from sipbridge.store.redis.streams import StreamEntry, Streams
from sipbridge.store.tail import Tail

EVENTS_KEPT = 100_000  # entries per project, of about 60 bytes


class RedisCallLog:
    """A `CallLog` of all nodes. Belongs to one event loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._tail = Tail[str, StreamEntry](Streams(server))

    async def entries(self, client: str, project: str, *, first: Position, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries of a project from that position on. Raises `StoreError`."""
        key = keys.call_keys(client, project).events
        (found,) = await self._server.read([("XRANGE", key, str(first), "+", "COUNT", limit)])
        return [_to_entry(StreamEntry.of(*each)) for each in found]

    async def records(self, client: str, project: str, call_ids: Collection[str]) -> dict[str, CallRecord]:
        """Return the records of the calls that have not been erased. Raises `StoreError`."""
        if not call_ids:
            return {}
        key = keys.call_keys(client, project)
        # What was announced first: a put that comes in between removes it, and has then written the record.
        begun = [("HGET", key.begun + call_id, "body") for call_id in call_ids]
        stored = [("HGET", key.call + call_id, "body") for call_id in call_ids]
        results = await self._server.read([*begun, *stored])
        bodies = zip(call_ids, results, results[len(begun) :], strict=False)
        return {call_id: rows.to_record(last or first) for call_id, first, last in bodies if last or first}

    def follow(self, client: str, project: str, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Pass on the entries that are added while the block runs. Raises `StoreError`."""

        async def pass_on(found: Sequence[StreamEntry]) -> None:
            await listener([_to_entry(each) for each in found])

        return self._tail.follow(keys.call_keys(client, project).events, pass_on)

    async def close(self) -> None:
        """Pass on nothing more."""
        await self._tail.close()


def announcement(record: CallRecord, retention_ms: int) -> Command:
    """Return the command that writes the milestones of a call without a record. Raises `StoreError` for its text."""
    key = keys.call_keys(record.client, record.project)
    return ANNOUNCE_CALL.command(
        (key.call + record.call_id, key.begun + record.call_id, key.events),
        *(record.call_id, last_sequence(record), to_body(lambda: record.as_json, f"call {record.call_id}")),
        *(retention_ms, EVENTS_KEPT),
    )


def _to_entry(found: StreamEntry) -> LogEntry:
    fields = found.fields
    return LogEntry(found.position, fields["call"], int(fields["after"]), int(fields["until"]))
