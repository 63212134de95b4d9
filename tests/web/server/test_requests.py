"""Large, ambiguous and odd requests of a hostile client, on real sockets."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.store.records import make_record
from tests.web.fakes import KEY, make_config
from tests.web.server.raw_client import HANDOFF, RawClient

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
