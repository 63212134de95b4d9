"""The streams of Redis as the source of a `Tail`, each with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sipbridge.calls.ports.event_log import BEGINNING, Position
from sipbridge.store.redis import server
from sipbridge.store.redis.scripts import Command
from sipbridge.store.redis.server import Server

BLOCK_SECONDS = 10.0  # for a new entry; then the request is repeated
ENTRIES = 100  # of each stream per round trip


class StreamEntry(NamedTuple):
    """An entry of a stream."""

    position: Position
    fields: Mapping[str, str]

    @classmethod
    def of(cls, id_: str, fields: Mapping[str, str]) -> StreamEntry:
        """Convert what Redis returns."""
        return cls(Position.parse(id_), fields)


class Streams:
    """Implements `Source`. A request that waits takes a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def newest(self, key: str) -> Position:
        """Return the position of the last entry. Raises `StoreError`."""
        (found,) = await self._server.read([("XREVRANGE", key, "+", "-", "COUNT", 1)])
        return StreamEntry.of(*found[0]).position if found else BEGINNING

    async def next(self, after: Mapping[str, Position]) -> Sequence[tuple[str, Sequence[StreamEntry]]]:
        """Return entries after these positions, once there are any, or none after a while. Raises `StoreError`."""
        block = ("BLOCK", round(BLOCK_SECONDS * 1000))
        positions = [str(position) for position in after.values()]
        command: Command = ("XREAD", "COUNT", ENTRIES, *block, "STREAMS", *after, *positions)
        (found,) = await self._server.read([command], seconds=BLOCK_SECONDS + server.READ_SECONDS)
        return [(key, [StreamEntry.of(*entry) for entry in entries]) for key, entries in found or ()]
