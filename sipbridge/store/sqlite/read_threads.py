"""The threads that read a database file, each with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

from sipbridge.errors import StoreError
from sipbridge.store.sqlite import database
from sipbridge.store.sqlite.schema import connect_reader

READERS = 2

T = TypeVar("T")


class ReadThreads:
    """Runs reads on threads. `suspect` is called if the file seems corrupt."""

    def __init__(self, source: database.Database, suspect: Callable[[], None]) -> None:
        self._database = source
        self._suspect = suspect
        self._threads = ThreadPoolExecutor(READERS, "store-reader")
        self._local = threading.local()
        self._connections: set[sqlite3.Connection] = set()

    async def run(self, read: Callable[[], T]) -> T:
        """Run a function that may `select` on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    def select(
        self, statement: str, *parameters: str | int, needs_all: bool = False
    ) -> Generator[tuple[Any, ...], None, None]:
        """Yield the rows of a query, on one of the threads. Raises `StoreError`.

        With `needs_all`, also while records of an abandoned file may be missing.
        """
        try:
            connection = self._connection()
            # Afterwards: a thread goes over to a new file only once its rescue is queued.
            if needs_all and self._database.is_rescuing:
                raise StoreError("the records of an abandoned file are not all copied yet")
            with closing(connection.execute(statement, parameters)) as cursor:
                yield from cursor
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.DatabaseError) and database.is_damage(error):
                self._suspect()
            raise StoreError(f"the store could not be read: {error}") from error

    def close(self) -> None:
        """Finish the reads in progress and close. Blocks."""
        self._threads.shutdown()
        while self._connections:
            self._connections.pop().close()

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's own connection, so that a long query delays no other."""
        generation = self._database.generation
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.generation == generation:
            return connection
        if connection is not None:
            self._connections.discard(connection)
            connection.close()
            self._local.connection = None
        connection = connect_reader(self._database.path, busy_seconds=database.BUSY_SECONDS)
        self._connections.add(connection)
        self._local.connection, self._local.generation = connection, generation
        return connection
