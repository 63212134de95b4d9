from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from sipbridge.chats.attachments import MAX_BYTES, AttachmentFetcher, AttachmentRules
from sipbridge.chats.model import Attachment
from sipbridge.dns import Resolver
from sipbridge.errors import AttachmentError
from tests.http.server import serving

PNG = b"\x89PNG" + 100 * b"\0"
LOOPBACK = AttachmentRules(lambda host: host == "127.0.0.1", allow_private_addresses=True)


@pytest.fixture
async def fetcher() -> AsyncIterator[AttachmentFetcher]:
    fetcher = AttachmentFetcher(Resolver(time.monotonic))
    yield fetcher
    await fetcher.close()


def response(body: bytes, *headers: str, status: int = 200) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def test_an_attachment_is_fetched_with_its_media_type(fetcher: AttachmentFetcher) -> None:
    async with serving(response(PNG, "Content-Type: Image/PNG; charset=binary")) as server:
        found = await fetcher.fetch(Attachment(url=f"{server.url}/a.png?t=1", media_type="text/plain"), LOOPBACK)
    assert (found.content, found.media_type) == (PNG, "image/png")
    assert server.requests[0].startswith(b"GET /a.png?t=1 HTTP/1.1\r\n")
    assert b"\r\nAccept: */*\r\n" in server.requests[0]


@pytest.mark.parametrize(("declared", "expected"), [("image/gif", "image/gif"), ("", "application/octet-stream")])
async def test_without_a_media_type_of_the_server_the_bot_s_is_used(
    fetcher: AttachmentFetcher, declared: str, expected: str
) -> None:
    async with serving(response(b"x")) as server:
        found = await fetcher.fetch(Attachment(url=server.url, media_type=declared), LOOPBACK)
    assert found.media_type == expected


async def test_five_megabytes_are_fetched_and_one_byte_more_is_not(fetcher: AttachmentFetcher) -> None:
    async with serving(response(MAX_BYTES * b"x"), response((MAX_BYTES + 1) * b"x")) as server:
        assert len((await fetcher.fetch(Attachment(url=server.url), LOOPBACK)).content) == MAX_BYTES
        with pytest.raises(AttachmentError, match="over 5242880 bytes") as caught:
            await fetcher.fetch(Attachment(url=server.url), LOOPBACK)
    assert caught.value.reason == "attachment_too_large"


async def test_an_endless_body_without_a_length_is_cut_off(fetcher: AttachmentFetcher) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n" + (MAX_BYTES + 100_000) * b"x") as server:
        with pytest.raises(AttachmentError) as caught:
            await fetcher.fetch(Attachment(url=server.url), LOOPBACK)
    assert caught.value.reason == "attachment_too_large"


async def test_a_slow_body_ends_at_the_time_limit(fetcher: AttachmentFetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.attachments.FETCH_SECONDS", 0.5)
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") as server:

        async def drip() -> None:
            await server.requested.wait()
            while True:
                server.send_unsolicited(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        started_at = time.monotonic()
        with pytest.raises(AttachmentError, match="no response") as caught:
            await fetcher.fetch(Attachment(url=server.url), LOOPBACK)
        dripping.cancel()
    assert time.monotonic() - started_at < 1
    assert caught.value.reason == "attachment_unavailable"


@pytest.mark.parametrize(
    "url",
    [
        "https://stranger.example/a.png",
        "https://127.0.0.2/a.png",
        "https://127.0.0.1.stranger.example/",
        "https://127.0.0.1@stranger.example/",
        "http://files.example/a.png",
        "ftp://127.0.0.1/a.png",
        "file:///etc/passwd",
        "https://[::1]/",
        "//127.0.0.1/a.png",
        "data:text/plain,x",
    ],
)
async def test_other_hosts_and_schemes_are_forbidden(fetcher: AttachmentFetcher, url: str) -> None:
    with pytest.raises(AttachmentError) as caught:
        await fetcher.fetch(Attachment(url=url), LOOPBACK)
    assert caught.value.reason == "attachment_forbidden"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_an_allowed_host_with_a_private_address_is_forbidden(fetcher: AttachmentFetcher, host: str) -> None:
    async with serving(response(PNG)) as server:
        url = server.url.replace("127.0.0.1", host)
        with pytest.raises(AttachmentError, match="no public address") as caught:
            await fetcher.fetch(Attachment(url=url), AttachmentRules(lambda _: True))
        assert server.connections == 0
    assert caught.value.reason == "attachment_forbidden"


@pytest.mark.parametrize("status", [204, 206, 301, 302, 403, 404, 500])
async def test_other_statuses_than_200_are_errors_and_no_redirect_is_followed(
    fetcher: AttachmentFetcher, status: int
) -> None:
    body = b"" if status == 204 else b"x"
    async with serving(response(body, "Location: /b", status=status)) as server:
        with pytest.raises(AttachmentError, match=f"responded with {status}") as caught:
            await fetcher.fetch(Attachment(url=server.url), LOOPBACK)
        assert len(server.requests) == 1
    assert caught.value.reason == "attachment_unavailable"


async def test_an_empty_attachment_is_an_error(fetcher: AttachmentFetcher) -> None:
    async with serving(response(b"")) as server:
        with pytest.raises(AttachmentError, match="without content"):
            await fetcher.fetch(Attachment(url=server.url), LOOPBACK)


async def test_many_attachments_at_once_are_fetched_in_turn(fetcher: AttachmentFetcher) -> None:
    async with serving() as server:
        found = await asyncio.gather(*(fetcher.fetch(Attachment(url=server.url), LOOPBACK) for _ in range(100)))
        assert server.connections <= 16
    assert {each.content for each in found} == {b"{}"}
