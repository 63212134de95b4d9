from __future__ import annotations

import asyncio
import gc
import random
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sipbridge.cxone import HttpClient
from sipbridge.cxone.http.connection import MAX_BODY_BYTES, Connection, retry_after_seconds
from sipbridge.dns import Resolver
from sipbridge.errors import CxoneError, CxoneNotReached
from sipbridge.simulators.cxone import running_simulator

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """A server that records requests and connections, and responds with the next of `responses`."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.connections = 0
        self.requests: list[bytes] = []
        self.requested = asyncio.Event()
        self.closed = asyncio.Event()
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                self.requested.set()
                writer.write(self.responses.pop(0) if self.responses else OK)
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()
        finally:
            writer.transport.abort()

    def say(self, text: bytes) -> None:
        """Send unsolicited bytes on the newest connection."""
        self._writers[-1].write(text)

    def finish(self) -> None:
        """Close after everything is sent."""
        self._writers[-1].close()

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(*responses: bytes) -> AsyncIterator[Server]:
    server = Server(*responses)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await server.hang_up()
        listener.close()


async def test_a_request_has_the_headers_that_cxone_needs_only(http: HttpClient) -> None:
    async with serving() as server:
        await http.post(f"{server.url}/base", "/path?p1=a", {"Authorization": "Bearer t"}, b"", 3)
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
            assert (await http.get(server.url, 3)).body == b"{}"
            assert (await http.post(server.url, "/x", {}, b"", 3)).status == 200
            await asyncio.sleep(0.01)  # time for the body, which `post` does not wait for
        assert server.connections == 1


async def test_a_failed_handshake_leaves_no_connection(http: HttpClient) -> None:
    before = connections_in_memory()
    async with serving(b"") as server:  # without TLS
        for _ in range(5):
            with pytest.raises(CxoneNotReached):
                await http.post(server.url.replace("http://", "https://"), "/x", {}, b"", 0.1)
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
async def test_a_connection_that_cxone_will_close_is_not_reused(http: HttpClient, last: bytes) -> None:
    async with serving(last) as server:
        await http.get(server.url, 3)
        await asyncio.wait_for(server.closed.wait(), 3)
        await http.get(server.url, 3)
        assert server.connections == 2


async def test_an_unsolicited_byte_closes_the_connection(http: HttpClient) -> None:
    async with serving() as server:
        await http.get(server.url, 3)
        server.say(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"evil":1}')
        await asyncio.wait_for(server.closed.wait(), 3)
        assert (await http.get(server.url, 3)).body == b"{}"
        assert server.connections == 2


async def test_a_second_response_is_not_used_for_the_next_request(http: HttpClient) -> None:
    async with serving(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as server:
        await http.post(server.url, "/x", {}, b"", 3)
        await asyncio.wait_for(server.closed.wait(), 3)
        assert (await http.get(server.url, 3)).body == b"{}"


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
        found = await http.get(server.url, 3)
        assert (found.body, found.retry_after) == (body, None)


async def test_a_body_without_a_length_ends_with_the_connection(http: HttpClient) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n{}") as server:
        request = asyncio.create_task(http.get(server.url, 3))
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
        with pytest.raises(CxoneError) as caught:
            await http.get(server.url, 1)
        assert not isinstance(caught.value, CxoneNotReached)


async def test_any_bytes_give_a_response_or_an_error(http: HttpClient) -> None:
    generator = random.Random(7)  # noqa: S311 (for a test only)
    valid = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    responses = [_mutated(valid, generator) for _ in range(300)]
    async with serving(*responses) as server:
        for _ in responses:
            with suppress(CxoneError):
                await http.get(server.url, 0.05)
        server.responses.clear()
        assert (await http.get(server.url, 3)).body == b"{}"


def _mutated(valid: bytes, generator: random.Random) -> bytes:
    response = bytearray(valid)
    for _ in range(generator.randint(1, 4)):
        response[generator.randrange(len(response))] = generator.randrange(256)
    return bytes(response)


async def test_the_wait_for_a_free_connection_has_a_limit(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.cxone.http.client._CONNECTIONS_PER_ORIGIN", 1)
    async with serving(b"HTTP/1.1 200 OK\r\n") as server:
        first = asyncio.create_task(http.get(server.url, 1))
        await asyncio.sleep(0.05)
        with pytest.raises(CxoneNotReached, match="no connection"):
            await http.get(server.url, 0.2)
        with pytest.raises(CxoneError):
            await first
        assert (await http.get(server.url, 3)).status == 200


async def test_a_cancelled_request_leaves_no_connection(http: HttpClient) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n") as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.get(server.url, 3)
        await asyncio.wait_for(server.closed.wait(), 3)


async def test_certificates_are_verified(http: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    options = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *options], cwd=tmp_path, check=True, capture_output=True)  # noqa: ASYNC221, S603 (this test's own program)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    async with running_simulator(host="127.0.0.1", ssl_context=context) as url:
        by_name = url.replace("127.0.0.1", "localhost") + "/.well-known/openid-configuration"
        with pytest.raises(CxoneNotReached, match="its certificate is not trusted"):
            await http.get(by_name, 3)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        async with HttpClient(Resolver(time.monotonic)) as trusting:
            assert (await trusting.get(by_name, 3)).status == 200
            with pytest.raises(CxoneNotReached, match="its certificate is not trusted"):  # for another address
                await trusting.get(f"{url}/.well-known/openid-configuration", 3)


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
    with pytest.raises(CxoneNotReached, match=rf"^no connection to 127\.0\.0\.1:{port}: connection refused$"):
        await http.get(f"http://127.0.0.1:{port}/", 2)
