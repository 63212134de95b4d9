"""Bytes that a hostile client may send, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
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

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HANDOFF = f"POST /v1/acme/billing/calls/call-1/handoff HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n".encode()


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SWEEP_SECONDS", 0.02)


@pytest.fixture
async def client(bridge: Bridge) -> AsyncIterator[RawClient]:
    client = RawClient(bridge)
    yield client
    await client.close()


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> RawConnection:
        self.writer.write(data)
        return self

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """Read one response: status, headers in lower case, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def status(self) -> int:
        return (await self.response())[0]

    async def is_closed(self) -> bool:
        """True if the peer has closed the connection after its last response."""
        try:
            async with asyncio.timeout(5):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        return True

    async def is_open(self) -> bool:
        return await self.send(HEALTH).status() == 200


class RawClient:
    """Connections to a bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.connections: list[RawConnection] = []

    async def connection(self, data: bytes = b"", source: str = "127.0.0.1") -> RawConnection:
        host, _, port = self.bridge.base.removeprefix("http://").partition(":")
        self.connections.append(RawConnection(*await asyncio.open_connection(host, int(port), local_addr=(source, 0))))
        return self.connections[-1].send(data)

    async def close(self) -> None:
        for connection in self.connections:
            connection.writer.transport.abort()


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


async def test_a_peer_that_does_not_read_its_response_does_not_delay_the_stop(tmp_path: Path) -> None:
    store = open_store(StoreConfig(url=f"sqlite:///{tmp_path}/calls.db"))
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
        client.bridge.events(CallStarted(record))
        await asyncio.sleep(0)
    assert not [reader for readers in client.bridge.events.__dict__["_readers"].values() for reader in readers]


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
    client.bridge.events(CallStarted(make_record()))
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


# ------------------------------------------------------------ large requests


async def test_a_content_length_over_the_limit_is_rejected_at_once(client: RawClient) -> None:
    connection = await client.connection(HANDOFF + b"Content-Length: 1000001\r\n\r\n")
    assert await connection.status() == 413


async def test_the_body_limit_applies_to_chunked_bodies(client: RawClient) -> None:
    connection = await client.connection(HANDOFF + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(12):
        connection.send(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
    assert await connection.status() == 413


async def test_a_compressed_chunked_body_is_not_decompressed(client: RawClient) -> None:
    bomb = gzip.compress(bytes(50_000_000), compresslevel=1)
    connection = await client.connection(HANDOFF + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n")
    connection.send(b"%x\r\n" % len(bomb) + bomb + b"\r\n0\r\n\r\n")
    assert await connection.status() == 415


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(2000)) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz?" + b"x=1&" * 50_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_400(client: RawClient, head: bytes) -> None:
    connection = await client.connection(head)
    assert await connection.status() == 400
    assert await connection.is_closed()


# ------------------------------------------------------------ ambiguous requests

SMUGGLED = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -4\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: identity, chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\n folded\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n",
        b"X: a\rTransfer-Encoding: chunked\r\n",
        b"X: a\0b\r\n",
        b": nameless\r\n",
        b"B\xe9d: x\r\n",
    ],
)
async def test_an_ambiguous_head_is_400_and_nothing_after_it_is_read(client: RawClient, headers: bytes) -> None:
    connection = await client.connection(HANDOFF + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
    status, response_headers, body = await connection.response()
    assert status == 400
    assert json.loads(body) == {
        "error_message": "this is not a valid HTTP request",
        "code": "invalid_request",
    }
    assert (response_headers["content-type"], response_headers["server"]) == ("application/json", "sipbridge")
    assert (response_headers["x-content-type-options"], response_headers["cache-control"]) == ("nosniff", "no-store")
    assert response_headers["content-security-policy"].endswith("frame-ancestors 'none'")
    assert await connection.is_closed()


@pytest.mark.parametrize("size", [b"-1", b"0x5", b"fffffffffffffffff", b"5;", b"zz"])
async def test_invalid_chunks_close_the_connection(client: RawClient, size: bytes) -> None:
    client.bridge.directory.add(make_record())
    connection = await client.connection(
        HANDOFF + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n{}   \r\n0\r\n\r\n" + SMUGGLED
    )
    assert await connection.status() == 400
    assert await connection.is_closed()
    assert not client.bridge.directory.calls[0].requests


@pytest.mark.parametrize(
    "upgrade",
    [b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"],
)
async def test_an_upgrade_is_ignored(client: RawClient, upgrade: bytes) -> None:
    connection = await client.connection(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")
    assert await connection.status() == 200
    assert await connection.is_open()


async def test_expect_100_continue_gets_100(client: RawClient) -> None:
    client.bridge.directory.add(make_record())
    connection = await client.connection(HANDOFF + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await connection.status() == 100
    assert await connection.send(b"{}").status() == 202


@pytest.mark.parametrize("path", [b"/healthz", b"/nowhere"])
async def test_an_unknown_expectation_is_417_as_json(client: RawClient, path: bytes) -> None:
    connection = await client.connection(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: c0ffee\r\n\r\n")
    status, headers, body = await connection.response()
    assert (status, headers["content-type"], headers["server"]) == (417, "application/json", "sipbridge")
    assert json.loads(body) == {
        "error_message": "send no Expect header other than 100-continue",
        "code": "invalid_request",
    }


# ------------------------------------------------------------ methods and paths


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"PUT", b"PATCH", b"PROPFIND", b"POST"])
async def test_an_unsupported_method_is_405_with_allow(client: RawClient, method: bytes) -> None:
    connection = await client.connection(method + b" /healthz HTTP/1.1\r\nHost: x\r\nx-secret: c0ffee\r\n\r\n")
    head = await connection.reader.readuntil(b"\r\n\r\n")
    assert b" 405 " in head
    assert b"\r\nAllow: GET,HEAD\r\n" in head
    assert b"c0ffee" not in head


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/acme/billing/calls/../../../openapi.json",
        b"/v1/acme/billing/calls/%2e%2e/%2e%2e",
        b"/v1//acme/billing/calls",
        b"//evil.example/healthz",
        b"/healthz//",
        b"/healthz%2f",
        b"/healthz%00",
        b"/%ff%fe",
        b"/%zz",
        b"/\xed\xa0\x80",
        b"*",
        b"http://evil.example/",
        b"/" + b"a/" * 3000,
    ],
)
async def test_an_odd_path_is_400_or_404(client: RawClient, path: bytes) -> None:
    connection = await client.connection(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers, _ = await connection.response()
    assert status in (400, 404)
    assert "location" not in headers


async def test_queries_with_any_bytes_are_parsed(client: RawClient) -> None:
    client.bridge.config = make_config(max_requests_per_second=1000)
    for value in (b"%ED%A0%80", b"%00", b"%FF", b"%", b"a" * 257, b"1&id=2&id=3", b"%F0%9F%98%80", b"'%20OR%201=1--"):
        path = b"/v1/acme/billing/handoff_state?shared_id=" + value
        connection = await client.connection(
            b"GET " + path + f" HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n\r\n".encode()
        )
        assert await connection.status() in (400, 404)
