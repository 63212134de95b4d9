"""One address in front of several bridges, as a load balancer: each connection goes to one of them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class FrontDoor:
    """A TCP proxy on a loopback port. `add` and `remove` say which bridges are in rotation, by `HOST:PORT`.

    Connections to a bridge that is removed end, since a load balancer that finds it dead ends them.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._targets: list[str] = []
        self._connections: dict[asyncio.Task[None], str] = {}

    @property
    def address(self) -> str:
        """Its `HOST:PORT`."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def add(self, target: str) -> None:
        """Take a bridge into rotation."""
        self._targets.append(target)

    def remove(self, target: str) -> None:
        """Take a bridge out of rotation."""
        self._targets.remove(target)
        for connection, its_target in self._connections.items():
            if its_target == target:
                connection.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._targets:
            writer.close()
            return
        target = self._chance.choice(self._targets)
        connection = asyncio.create_task(self._serve(target, reader, writer))
        self._connections[connection] = target
        connection.add_done_callback(self._connections.pop)

    async def _serve(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        to_target: asyncio.StreamWriter | None = None
        try:
            from_target, to_target = await asyncio.open_connection(host, int(port))
            pipes = [asyncio.create_task(_pipe(reader, to_target)), asyncio.create_task(_pipe(from_target, writer))]
            try:
                await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pipe in pipes:
                    pipe.cancel()
        except OSError:
            pass  # the client finds its connection closed
        finally:
            writer.close()
            if to_target is not None:
                to_target.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
