"""Links that a test can cut: a program reaches others at an address of its own, where relays carry what it sends.

A link that is cut loses nothing, as TCP does not: connections stand still in both directions, also new ones, and go on
when the link is back. That is what a partition of the network looks like.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

_CHUNK = 65_536
_HERE = b"127.0.0.1"


class Link:
    """The relay at a port of a loopback address to the same port of 127.0.0.1.

    If `translated`, a response that names 127.0.0.1 names the address instead. So a client that asks a Sentinel for
    the primary comes back to the link of that address, as through a translating router.
    """

    def __init__(self, address: str, port: int, *, translated: bool) -> None:
        self._address = address
        self._port = port
        self._name = address.encode() if translated else _HERE
        self._connections: set[asyncio.Task[None]] = set()
        self.passing = asyncio.Event()  # cleared while the link is cut
        self.passing.set()

    async def open(self) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.start_server(self._accept, self._address, self._port)

    async def close(self) -> None:
        """End all connections."""
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            await self.passing.wait()
            back, onward = await asyncio.open_connection(_HERE.decode(), self._port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, onward, _HERE))
                group.create_task(self._pass(back, writer, self._name))
        except (OSError, ExceptionGroup):
            pass  # one end has closed, and the other is about to be
        finally:
            for each in (writer, onward):
                if each is not None:
                    each.close()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, name: bytes) -> None:
        """Carry one direction, with this name for 127.0.0.1, until its end; then both directions end."""
        while data := await source.read(_CHUNK):
            await self.passing.wait()
            target.write(data.replace(_HERE, name))
            await target.drain()
        await self.passing.wait()
        raise ConnectionError("closed")


class Links:
    """Links on a thread of their own, by address and port."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, int], Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)

    def add(self, address: str, port: int, *, translated: bool = False) -> None:
        """Open a link. A translated one needs an address of as many characters as 127.0.0.1 has."""
        link = self._links[address, port] = Link(address, port, translated=translated)
        asyncio.run_coroutine_threadsafe(link.open(), self._loop).result(10)

    def cut(self, address: str, *ports: int) -> None:
        """Let nothing through the links to these ports."""
        for port in ports:
            self._loop.call_soon_threadsafe(self._links[address, port].passing.clear)

    def mend(self, address: str, *ports: int) -> None:
        """Let everything through again, first what has waited."""
        for port in ports:
            self._loop.call_soon_threadsafe(self._links[address, port].passing.set)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for link in self._links.values():
            asyncio.run_coroutine_threadsafe(link.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
