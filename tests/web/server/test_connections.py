"""Slow clients and many connections of a hostile client, on real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from sipbridge import file_descriptors
from sipbridge.calls.events import CallStarted
from sipbridge.config import StoreConfig
from sipbridge.store import open_store
from sipbridge.web import make_app, start_web
from sipbridge.web.server import connections, request_parsing, slots
from sipbridge.web.server.listener import STOP_SECONDS
from tests.store.records import make_record
from tests.web.conftest import Bridge
from tests.web.fakes import KEY, make_config
from tests.web.server.raw_client import HANDOFF, HEALTH, RawClient

# ------------------------------------------------------------ slow clients


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost", HANDOFF])
async def test_an_incomplete_head_closes_the_connection_at_its_deadline(
    client: RawClient, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    assert await (await client.connection(begun)).is_closed()


async def test_a_slow_head_does_not_extend_its_deadline(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    connection = await client.connection(HEALTH)
    assert await connection.status() == 200

    async def trickle() -> None:
        while True:
            connection.send(b"G" if connection.writer.is_closing() else b"X")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    assert await connection.is_closed()
    trickling.cancel()


async def test_a_kept_connection_may_be_idle_between_requests(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    connection = await client.connection()
    for _ in range(3):
        assert await connection.is_open()
        await asyncio.sleep(0.15)


async def test_a_late_body_is_408(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parsing, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.1)
    client.bridge.directory.add(make_record())
    connection = await client.connection(HANDOFF + b"Content-Length: 10\r\n\r\n{")
    assert await connection.status() == 408
    assert await connection.is_closed()
    assert not client.bridge.directory.calls[0].requests


async def test_a_peer_that_does_not_read_its_response_is_disconnected(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.1)
    client.bridge.metrics = bytes(30_000_000)
    connection = await client.connection(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await connection.reader.readexactly(100)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that can read
    await asyncio.sleep(0.5)
    connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises(asyncio.IncompleteReadError):
        await connection.reader.readexactly(30_000_000)


@pytest.mark.usefixtures("short_timeouts")
async def test_a_peer_that_does_not_read_its_response_does_not_delay_the_stop(tmp_path: Path) -> None:
    store = await open_store(StoreConfig(url=f"sqlite:///{tmp_path}/calls.db"))
    async with aiohttp.ClientSession() as session:
        bridge = Bridge(make_config(), store, session, metrics=bytes(30_000_000))
        listener, (host, port) = await start_web(make_app(bridge.deps()), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(100)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that can read
        await asyncio.sleep(0.2)
        async with asyncio.timeout(STOP_SECONDS - 1):
            await listener.cleanup()
        writer.transport.abort()
    await store.close()


async def test_an_event_reader_that_does_not_read_costs_little_memory(client: RawClient) -> None:
    request = f"GET /v1/acme/billing/events HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n\r\n".encode()
    connection = await client.connection(request)
    await connection.reader.readuntil(b"\r\n\r\n")
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    record = make_record(reason="x" * 250)
    for _ in range(20_000):
        client.bridge.report(CallStarted(record))
        await asyncio.sleep(0)
    assert len(client.bridge.events._readers) == 0  # noqa: SLF001 (not visible otherwise)


# ------------------------------------------------------------ many connections


async def test_one_connection_too_many_closes_the_one_that_is_idle_longest(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    first, second = await client.connection(), await client.connection()
    assert await first.is_open()
    assert await second.is_open()
    assert await first.is_open()
    for _ in range(3):
        assert await (await client.connection()).is_open()
    assert await (await client.connection()).is_open()
    assert await second.is_closed()
    assert await first.is_open()


async def test_a_reserved_descriptor_closes_the_new_connection_and_frees_one_for_the_next(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await client.connection(), await client.connection()
    assert await first.is_open()
    assert await second.is_open()
    monkeypatch.setattr(file_descriptors, "reserved_from", lambda: 3)
    assert await (await client.connection()).is_closed()
    assert await first.is_closed()
    monkeypatch.undo()
    assert await (await client.connection()).is_open()
    assert await second.is_open()


async def test_thousands_of_idle_connections_leave_the_api_reachable(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 50)
    for _ in range(20):
        await asyncio.gather(*(client.connection() for _ in range(50)))
        assert await client.bridge.get("/healthz", key=None) == (200, {"status": "ok"})
    open_ = [
        connection
        for connection in client.connections
        if not connection.reader.at_eof() and not connection.reader.exception()
    ]
    assert len(open_) <= 50


async def test_the_new_connection_is_closed_if_all_others_are_being_served(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    request = f"GET /v1/acme/billing/events HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n\r\n".encode()
    streams = [await client.connection(request) for _ in range(3)]
    for stream in streams:
        await stream.reader.readuntil(b"\r\n\r\n")
    assert await (await client.connection(HEALTH)).is_closed()
    client.bridge.report(CallStarted(make_record()))
    for stream in streams:
        assert b"call.started" in await stream.reader.readuntil(b"call.started")


async def test_a_source_with_many_connections_displaces_none_of_another(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 10)
    quiet = await client.connection()
    assert await quiet.is_open()
    for _ in range(30):
        assert await (await client.connection(source="127.0.0.7")).is_open()
    assert await quiet.is_open()


async def test_one_key_cannot_use_more_connections_than_its_share(
    client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "MAX_PER_KEY", 3)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    client.bridge.directory.add(make_record())
    slow = [await client.connection(HANDOFF + b"Content-Length: 10\r\n\r\n{") for _ in range(3)]
    assert await (await client.connection(HEALTH)).status() == 200
    for _ in range(10):
        assert await (await client.connection(HANDOFF + b"Content-Length: 2\r\n\r\n{}")).status() == 429
        assert await (await client.connection(HEALTH)).status() == 200
    slow[0].send(b" " * 8 + b"}")
    assert await slow[0].status() == 202
    assert await (await client.connection(HANDOFF + b"Content-Length: 2\r\n\r\n{}")).status() != 429


async def test_an_invalid_key_holds_no_slot(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    for _ in range(10):
        connection = await client.connection(HANDOFF.replace(KEY.encode(), b"wrong") + b"Content-Length: 10\r\n\r\n{")
        assert await connection.status() == 401
        assert await (await client.connection(HEALTH)).status() == 200


async def test_pipelined_requests_are_served_in_order_and_not_buffered(client: RawClient) -> None:
    connection = await client.connection(HEALTH * 2000)
    assert {await connection.status() for _ in range(2000)} == {200}
