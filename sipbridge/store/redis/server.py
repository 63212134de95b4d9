"""The connection to Redis: commands together in one round trip, each with a time limit and clear errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.maint_notifications import MaintNotificationsConfig

from sipbridge.config.redis_url import Credentials, RedisUrl
from sipbridge.errors import StoreError, StoreSilent
from sipbridge.store.redis import scripts
from sipbridge.store.redis.scripts import Command

READ_SECONDS = 1.0  # for a round trip that reads
CONNECTIONS = 16  # at most; further requests wait for one within their time limit


class Server:
    """Redis, or the primary that its Sentinels name. Belongs to one event loop.

    It uses the connections of redis-py without its pool and its pipelines, which take twice the processor time.
    """

    def __init__(self, url: RedisUrl) -> None:
        """Connects with the first command."""
        self._sentinel: Sentinel | None = None
        options = _options(url.credentials) | {"db": url.database}
        if url.service:
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                url.hosts, sentinel_kwargs=_options(url.sentinel_credentials), **options
            )
            self._client: Redis = self._sentinel.master_for(url.service)
        else:
            ((host, port),) = url.hosts
            self._client = Redis(host=host, port=port, ssl=url.tls, **options)
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []  # the last one used last

    async def run(self, commands: Sequence[Command], *, seconds: float) -> list[Any]:
        """Run commands in one round trip; return the response or the `RedisError` of each. Raises `StoreError`.

        Commands must bear repetition: they run again if the connection breaks, and if Redis has lost the scripts.
        """
        try:
            async with asyncio.timeout(seconds), self._free:
                return await self._run_loaded(commands)
        except TimeoutError:
            raise StoreSilent(f"Redis has not responded within {seconds:g} s") from None
        except BusyLoadingError as error:
            raise StoreSilent("Redis is LOADING its data") from error
        except (RedisError, OSError, UnicodeError) as error:
            raise StoreError(f"Redis: {error}") from error

    async def read(self, commands: Sequence[Command], *, seconds: float | None = None) -> list[Any]:
        """Run commands, and return the response of each. Raises `StoreError`, also if one of them fails."""
        results = await self.run(commands, seconds=READ_SECONDS if seconds is None else seconds)
        error = first_error(results)
        if error is not None:
            raise StoreError(f"the store could not be read: {error}") from error
        return results

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            await connection.disconnect()
        await self._client.aclose()
        if self._sentinel:
            await self._sentinel.aclose()

    async def _run_loaded(self, commands: Sequence[Command]) -> list[Any]:
        try:
            results = await self._run(commands)
        except RedisConnectionError:
            # A connection that Redis closed while it was idle shows that at its next use only. So may the others.
            for connection in self._idle:
                await connection.disconnect(nowait=True)
            results = await self._run(commands)
        if any(isinstance(result, NoScriptError) for result in results):
            await self._run(scripts.LOAD)
            results = await self._run(commands)
        return results

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._idle.pop() if self._idle else self._connection()
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]
            packed = b"".join(pack_command(command) for command in commands)  # type: ignore[arg-type]  # of any length
            await connection.send_packed_command(packed, check_health=False)
            return [await self._response(connection, command) for command in commands]
        except BaseException:
            # What was sent has a response, which must not become that of the next command.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.append(connection)

    def _connection(self) -> Connection:
        connection: Connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._connections.append(connection)
        return connection

    async def _response(self, connection: Connection, command: Command) -> Any:  # noqa: ANN401 (any response)
        try:
            return await self._client.parse_response(connection, str(command[0]))
        except ResponseError as error:
            return error


def first_error(results: Sequence[Any]) -> RedisError | None:
    """Return the first error among the results of commands."""
    return next((result for result in results if isinstance(result, RedisError)), None)


def _options(credentials: Credentials) -> dict[str, Any]:
    return {
        "username": credentials.user,
        "password": credentials.password,
        "decode_responses": True,
        # A retry would wait longer than a call does, and `Server.run` has one time limit for everything.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
