from __future__ import annotations

import asyncio
import gc
import random
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sipbridge import file_descriptors
from sipbridge.dns import Resolver
from sipbridge.errors import HttpError, HttpNotReached, HttpWithheld, ResponseTooLarge
from sipbridge.http import HttpClient
from sipbridge.http.client import Method
from sipbridge.http.connection import MAX_BODY_BYTES, Connection, retry_after_seconds
from sipbridge.simulators.cxone import running_simulator

from .server import OK, serving


async def test_a_request_has_the_headers_that_are_needed_only(http: HttpClient) -> None:
    async with serving() as server:
        await http.post_for_head(f"{server.url}/base", "/path?p1=a", {"Authorization": "Bearer t"}, b"", 3)
    host = server.url.removeprefix("http://").encode()
    lines = server.requests[0].split(b"\r\n")
    assert lines[:2] == [b"POST /base/path?p1=a HTTP/1.1", b"Host: " + host]
    assert {line.partition(b":")[0] for line in lines[2:] if line} == {
        b"Accept",
        b"Accept-Encoding",
        b"User-Agent",
        b"Authorization",
        b"Content-Length",
    }


async def test_a_connection_is_reused(http: HttpClient) -> None:
    async with serving() as server:
        for _ in range(5):
            assert (await http.request("GET", server.url, seconds=3)).body == b"{}"
            assert (await http.post_for_head(server.url, "/x", {}, b"", 3)).status == 200
            await asyncio.sleep(0.01)  # time for the body, which `post_for_head` does not wait for
        assert server.connections == 1


async def test_a_failed_handshake_leaves_no_connection(http: HttpClient) -> None:
    before = connections_in_memory()
    async with serving(b"") as server:  # without TLS
        for _ in range(5):
            with pytest.raises(HttpNotReached):
                await http.post_for_head(server.url.replace("http://", "https://"), "/x", {}, b"", 0.1)
    assert connections_in_memory() == before


def connections_in_memory() -> int:
    gc.collect()
    return sum(type(each) is Connection for each in gc.get_objects())


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\n{}",
    ],
    ids=["close", "HTTP/1.0", "kept for a second, which is none for us"],
)
async def test_a_connection_that_the_server_will_close_is_not_reused(http: HttpClient, last: bytes) -> None:
    async with serving(last) as server:
        await http.request("GET", server.url, seconds=3)
        await asyncio.wait_for(server.closed.wait(), 3)
        await http.request("GET", server.url, seconds=3)
        assert server.connections == 2


async def test_an_unsolicited_byte_closes_the_connection(http: HttpClient) -> None:
    async with serving() as server:
        await http.request("GET", server.url, seconds=3)
        server.send_unsolicited(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"evil":1}')
        await asyncio.wait_for(server.closed.wait(), 3)
        assert (await http.request("GET", server.url, seconds=3)).body == b"{}"
        assert server.connections == 2


async def test_a_second_response_is_not_used_for_the_next_request(http: HttpClient) -> None:
    async with serving(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as server:
        await http.post_for_head(server.url, "/x", {}, b"", 3)
        await asyncio.wait_for(server.closed.wait(), 3)
        assert (await http.request("GET", server.url, seconds=3)).body == b"{}"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", b"\x1f\x8b"),
    ],
    ids=["chunks", "interim response", "no content", "left compressed"],
)
async def test_valid_responses_are_parsed(http: HttpClient, response: bytes, body: bytes) -> None:
    async with serving(response) as server:
        found = await http.request("GET", server.url, seconds=3)
        assert (found.body, found.retry_after) == (body, None)


async def test_a_body_without_a_length_ends_with_the_connection(http: HttpClient) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n{}") as server:
        request = asyncio.create_task(http.request("GET", server.url, seconds=3))
        await server.requested.wait()
        server.finish()
        assert (await request).body == b"{}"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (MAX_BODY_BYTES + 1, (MAX_BODY_BYTES + 1) * b"x"),
        b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 0\r\n\r\n" % (300_000 * b"x"),
        9 * b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_invalid_responses_are_errors(http: HttpClient, response: bytes) -> None:
    async with serving(response) as server:
        with pytest.raises(HttpError) as caught:
            await http.request("GET", server.url, seconds=1)
        assert not isinstance(caught.value, HttpNotReached)


async def test_any_bytes_give_a_response_or_an_error(http: HttpClient) -> None:
    generator = random.Random(7)  # noqa: S311 (for a test only)
    valid = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    responses = [_mutated(valid, generator) for _ in range(300)]
    async with serving(*responses) as server:
        for _ in responses:
            with suppress(HttpError):
                await http.request("GET", server.url, seconds=0.05)
        server.responses.clear()
        assert (await http.request("GET", server.url, seconds=3)).body == b"{}"


def _mutated(valid: bytes, generator: random.Random) -> bytes:
    response = bytearray(valid)
    for _ in range(generator.randint(1, 4)):
        response[generator.randrange(len(response))] = generator.randrange(256)
    return bytes(response)


async def test_the_wait_for_a_free_connection_has_a_limit() -> None:
    http = HttpClient(Resolver(time.monotonic), connections_per_origin=1)
    async with http, serving(b"HTTP/1.1 200 OK\r\n") as server:
        first = asyncio.create_task(http.request("GET", server.url, seconds=1))
        await asyncio.sleep(0.05)
        with pytest.raises(HttpNotReached, match="no connection"):
            await http.request("GET", server.url, seconds=0.2)
        with pytest.raises(HttpError):
            await first
        assert (await http.request("GET", server.url, seconds=3)).status == 200


async def test_a_cancelled_request_leaves_no_connection(http: HttpClient) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n") as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.request("GET", server.url, seconds=3)
        await asyncio.wait_for(server.closed.wait(), 3)


async def test_certificates_are_verified(http: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    options = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *options], cwd=tmp_path, check=True, capture_output=True)  # noqa: ASYNC221, S603 (this test's own program)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    async with running_simulator(host="127.0.0.1", ssl_context=context) as url:
        by_name = url.replace("127.0.0.1", "localhost") + "/.well-known/openid-configuration"
        with pytest.raises(HttpNotReached, match="its certificate is not trusted"):
            await http.request("GET", by_name, seconds=3)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        monkeypatch.setattr("sipbridge.http.client.system_tls", ssl.create_default_context)  # reads the variable now
        async with HttpClient(Resolver(time.monotonic)) as trusting:
            assert (await trusting.request("GET", by_name, seconds=3)).status == 200
            with pytest.raises(HttpNotReached, match="its certificate is not trusted"):  # for another address
                await trusting.request("GET", f"{url}/.well-known/openid-configuration", seconds=3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "-1",
        "1.5",
        "9999999999",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +999999999999999999",
        "Mon, 32 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 2024 99:00:00 GMT",
    ],
)
def test_an_invalid_retry_after_is_none(value: str | None) -> None:
    assert retry_after_seconds(value) is None


def test_a_retry_after_in_the_past_is_zero() -> None:
    assert retry_after_seconds("Mon, 01 Jan 2024 00:00:00 GMT") == 0.0


async def test_a_refused_connection_names_host_and_port(http: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(HttpNotReached, match=rf"^no connection to 127\.0\.0\.1:{port}: connection refused$"):
        await http.request("GET", f"http://127.0.0.1:{port}/", seconds=2)


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", None),
        ("POST", b"", b"0"),
        ("POST", b"{}", b"2"),
        ("PUT", b"abc", b"3"),
        ("PATCH", b"", b"0"),
        ("DELETE", b"", None),
    ],
)
async def test_each_method_has_the_length_that_it_needs(
    http: HttpClient, method: Method, body: bytes, length: bytes | None
) -> None:
    async with serving() as server:
        assert (await http.request(method, f"{server.url}/a?b=c", body=body, seconds=3)).status == 200
    head = server.requests[0]
    assert head.startswith(f"{method} /a?b=c HTTP/1.1\r\n".encode())
    found = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
    assert found == ([] if length is None else [length])


async def test_an_accept_header_replaces_the_default(http: HttpClient) -> None:
    async with serving() as server:
        await http.request("GET", server.url, headers={"Accept": "*/*"}, seconds=3)
    assert [line for line in server.requests[0].split(b"\r\n") if line.startswith(b"Accept:")] == [b"Accept: */*"]


@pytest.mark.parametrize("status", [301, 304, 404, 429, 500])
async def test_each_status_is_a_response_and_no_redirect_is_followed(http: HttpClient, status: int) -> None:
    response = b"HTTP/1.1 %d X\r\nLocation: /other\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status
    async with serving(response) as server:
        found = await http.request("GET", server.url, seconds=3)
        assert (found.status, found.retry_after, len(server.requests)) == (status, 7.0, 1)


async def test_a_body_over_the_limit_of_the_request_is_too_large(http: HttpClient) -> None:
    async with serving(
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + 200_000 * b"x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200001\r\n\r\n" + 200_001 * b"x",
    ) as server:
        assert len((await http.request("GET", server.url, seconds=3, max_bytes=200_000)).body) == 200_000
        with pytest.raises(ResponseTooLarge, match="over 200000 bytes"):
            await http.request("GET", server.url, seconds=3, max_bytes=200_000)


@pytest.mark.parametrize("url", ["", "ftp://host.example/", "https://user@host.example/", "https://host.example/a b"])
async def test_nothing_is_sent_to_a_url_that_is_not_valid(http: HttpClient, url: str) -> None:
    with pytest.raises(HttpNotReached, match="not valid"):
        await http.request("GET", url, seconds=3)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb"])
async def test_a_header_with_a_line_break_is_refused(http: HttpClient, value: str) -> None:
    async with serving() as server:
        with pytest.raises(ValueError, match="line break"):
            await http.request("GET", server.url, headers={"X-Name": value}, seconds=3)
        assert server.connections == 0


async def test_origins_without_a_connection_are_removed(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.http.client._MAX_POOLS", 2)
    async with serving() as used:
        await http.request("GET", used.url, seconds=3)
        for _ in range(5):
            async with serving(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") as server:
                await http.request("GET", server.url, seconds=3)
                await asyncio.wait_for(server.closed.wait(), 3)
            await asyncio.sleep(0)
        await http.request("GET", used.url, seconds=3)
        assert used.connections == 1
    assert len(http._pools) <= 2  # noqa: SLF001 (memory has no other sign)


async def test_reserved_file_descriptors_are_left_to_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_descriptors, "reserved_from", lambda: 3)
    async with serving() as server, HttpClient(Resolver(time.monotonic), spares_descriptors=True) as http:
        with pytest.raises(HttpNotReached, match="reserved for calls"):
            await http.request("GET", server.url, seconds=3)
        async with HttpClient(Resolver(time.monotonic)) as of_calls:
            assert (await of_calls.request("GET", server.url, seconds=3)).status == 200


async def test_nothing_is_sent_while_another_node_may_do_it() -> None:
    may_send = True
    async with serving() as server, HttpClient(Resolver(time.monotonic), may_send=lambda: may_send) as client:
        assert (await client.request("GET", server.url, seconds=3)).status == 200
        may_send = False
        with pytest.raises(HttpWithheld, match="another node"):
            await client.request("GET", server.url, seconds=3)
        with pytest.raises(HttpWithheld, match="another node"):
            await client.post_for_head(server.url, "/x", {}, b"", 3)
        assert len(server.requests) == 1
        may_send = True
        assert (await client.request("GET", server.url, seconds=3)).status == 200
