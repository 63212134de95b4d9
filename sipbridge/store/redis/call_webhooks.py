"""The ended calls of a node whose webhook did not get all events: a hash with the position of each, by call id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sipbridge.calls.milestones import LAST
from sipbridge.calls.ports.store import Undelivered
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import MARK_CALL_DELIVERED, Command
from sipbridge.store.redis.server import Server

MARK_SECONDS = 1.0
PAGE = 100  # calls per round trip

Marks = dict[str, Undelivered]


class UndeliveredCalls:
    """The calls of one node. Its next start sends their events. Belongs to one event loop.

    The put of an ended call's record adds the call. Positions wait here until the rows that they are about are written.
    """

    def __init__(self, server: Server, node: str) -> None:
        self.key = keys.CALLS_UNDELIVERED + node
        self._server = server
        self._marks: Marks = {}

    def mark(self, position: Undelivered, wake: Callable[[], None]) -> None:
        """Note the position of a webhook. It goes with the next row, or the writer is woken after `MARK_SECONDS`."""
        if not self._marks:
            asyncio.get_running_loop().call_later(MARK_SECONDS, wake)
        self._marks[position.call_id] = max(position, self._marks.get(position.call_id, position))

    def take(self) -> Marks:
        """Return the positions that wait, and keep them no longer."""
        marks, self._marks = self._marks, {}
        return marks

    def put_back(self, marks: Marks) -> None:
        """Keep positions that were not written."""
        self._marks = marks | self._marks

    def commands(self, marks: Marks) -> list[Command]:
        """Return the commands that write positions."""
        delivered = [each.call_id for each in marks.values() if each.sequence == LAST]
        return [
            *([("HDEL", self.key, *delivered)] if delivered else []),
            *(
                MARK_CALL_DELIVERED.command([self.key], each.call_id, position_of(each))
                for each in marks.values()
                if each.sequence != LAST
            ),
        ]

    async def read(self) -> list[Undelivered]:
        """Return the calls, and remove those whose record is no longer stored. Raises `StoreError`."""
        (found,) = await self._server.read([("HGETALL", self.key)])
        calls = [_undelivered(call_id, position) for call_id, position in found.items()]
        kept = [
            call for first in range(0, len(calls), PAGE) for call in await self._stored(calls[first : first + PAGE])
        ]
        if gone := {call.call_id for call in calls} - {call.call_id for call in kept}:
            await self._server.read([("HDEL", self.key, *gone)])
        return kept

    async def _stored(self, calls: Sequence[Undelivered]) -> list[Undelivered]:
        exist = await self._server.read([("EXISTS", _record_key(call)) for call in calls])
        return [call for call, exists in zip(calls, exist, strict=True) if exists]


def position_of(call: Undelivered) -> str:
    """Return the value of the hash. Ids of clients and projects have no colon."""
    return f"{call.client}:{call.project}:{call.sequence}"


def _undelivered(call_id: str, position: str) -> Undelivered:
    client, project, sequence = position.split(":")
    return Undelivered(client, project, call_id, int(sequence))


def _record_key(call: Undelivered) -> str:
    return keys.call_keys(call.client, call.project).call + call.call_id
