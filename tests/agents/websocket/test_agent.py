"""Connecting to the agent: the upgrade request, and its failures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import threading
import time
from pathlib import Path

import pytest

from sipbridge.agents.websocket.opening import Opener, trust_authorities
from sipbridge.agents.websocket.protocols.twilio.signature import sign
from sipbridge.calls.endings import AGENT_ENDED
from sipbridge.config import WebsocketAgentConfig
from sipbridge.dns import Resolver
from sipbridge.errors import AgentUnavailable, LegEnded, StartupError
from sipbridge.trace_context import TraceContext
from tests.harness.ipv6 import needs_ipv6

from .support import FRAME, Site, agent_server, identity


async def test_the_caller_gets_ringing_and_the_agent_gets_the_configured_headers(site: Site) -> None:
    _, agent_socket = await site.connect(headers={"X-Token": "abc"})
    assert site.leg._journal.steps == ["caller.ring"]  # noqa: SLF001 (not visible otherwise)
    assert agent_socket.request.path == b"/agent?key=secret"
    assert agent_socket.request.headers["X-Token"] == "abc"
    assert agent_socket.request.headers["Host"] == f"localhost:{site.server.port}"


async def test_the_trace_wins_over_configured_headers_of_its_name_in_another_case(site: Site) -> None:
    site.traced = True
    _, agent_socket = await site.connect(headers={"TRACEPARENT": "00-1-1-00", "Traceparent": "00-2-2-00"})
    sent = agent_socket.request.headers
    assert sent.getall("traceparent") == [TraceContext.of(identity().call_id).traceparent]


def twilio_signature(url: str, token: str) -> str:
    """The signature of a request without parameters, as Twilio documents it (RFC 2104 written out)."""
    key = token.encode().ljust(64, b"\x00")
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + url.encode()).digest()  # noqa: S324 (Twilio's choice)
    return base64.b64encode(hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).digest()).decode()  # noqa: S324


@pytest.mark.parametrize("path", ["/media", "/media/", "/media?tenant=a%20b&x=1", "", "/?x"])
async def test_the_upgrade_is_signed_as_twilio_signs(site: Site, path: str) -> None:
    url = f"ws://localhost:{site.server.port}{path}"
    _, agent_socket = await site.connect(url=url.replace("//", "//user:secret@"), signature_token="12345")
    request = agent_socket.request
    seen = f"ws://{request.headers['Host']}{request.path.decode()}"
    assert seen == (url if path else f"{url}/")
    assert request.headers.getall("X-Twilio-Signature") == [twilio_signature(seen, "12345")]


def test_a_signature_equals_that_of_openssl() -> None:
    # printf %s wss://agent.example.com:8443/media?a=1 | openssl dgst -sha1 -hmac 12345 -binary | base64
    assert sign("wss://agent.example.com:8443/media?a=1", "12345") == "zv/WrJpVuLH0PNsq8XYDU7YIlX4="


async def test_without_a_token_nothing_is_signed(site: Site) -> None:
    _, agent_socket = await site.connect()
    assert "X-Twilio-Signature" not in agent_socket.request.headers


async def test_a_user_in_the_url_goes_into_authorization(site: Site) -> None:
    url = site.server.url().replace("//", "//bridge:s%40fe@")
    _, agent_socket = await site.connect(url=url)
    expected = "Basic " + base64.b64encode(b"bridge:s@fe").decode()
    assert agent_socket.request.headers.getall("Authorization") == [expected]
    assert agent_socket.request.headers["Host"] == f"localhost:{site.server.port}"


@needs_ipv6
async def test_an_agent_may_have_an_ipv6_address() -> None:
    async with agent_server(host="::1") as server:
        site = Site(server)
        _, agent_socket = await site.connect()
        assert agent_socket.request.headers["Host"] == f"[::1]:{server.port}"
        await site.clean_up()


async def test_nothing_is_sent_before_the_caller_is_answered(site: Site) -> None:
    conversation, agent_socket = await site.connect()
    await conversation.close(None)
    assert await agent_socket.closed == 1000
    assert agent_socket.unread.empty()


@pytest.mark.usefixtures("no_unhandled_errors")
async def test_a_certificate_of_the_configured_authority_is_trusted(certificates: tuple[Path, ssl.SSLContext]) -> None:
    authority, context = certificates
    async with agent_server(context) as server:
        site = Site(server)
        _, running, agent_socket = await site.start_stream(url=server.url("wss"), ca_file=authority)
        agent_socket.send_audio(b"hello")
        await agent_socket.settle()
        assert site.audio.audio == b"hello"
        running.cancel()
        await agent_socket.next("stop")
        assert await agent_socket.closed == 1000
        await site.clean_up()


async def test_a_certificate_of_another_authority_is_refused(certificates: tuple[Path, ssl.SSLContext]) -> None:
    async with agent_server(certificates[1]) as server:
        with pytest.raises(AgentUnavailable, match="certificate is not trusted"):
            await Site(server).connect(url=server.url("wss"))
        assert server.attempts == 0


async def test_a_certificate_for_another_name_is_refused(certificates: tuple[Path, ssl.SSLContext]) -> None:
    authority, context = certificates
    async with agent_server(context) as server:
        url = server.url("wss").replace("localhost", "127.0.0.1")
        with pytest.raises(AgentUnavailable, match="certificate is not trusted"):
            await Site(server).connect(url=url, ca_file=authority)
        assert server.attempts == 0


async def test_a_ca_file_without_certificates_fails_the_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(StartupError, match=r"empty\.pem"):
        site.agent(url="wss://localhost/", ca_file=tmp_path / "empty.pem")


async def _fails(site: Site, **config: object) -> str:
    with pytest.raises(AgentUnavailable) as caught:
        await site.connect(**config)
    assert "secret" not in str(caught.value)
    return str(caught.value)


async def test_a_rejected_upgrade_makes_the_agent_unavailable(site: Site) -> None:
    site.server.refusing = 503
    assert (await _fails(site)).endswith("its response to the upgrade is 503")


async def test_a_closed_port_makes_the_agent_unavailable(site: Site) -> None:
    async with agent_server() as other:
        url = other.url()
    assert "refused" in await _fails(site, url=url)


async def test_an_unknown_host_makes_the_agent_unavailable(site: Site) -> None:
    assert (await _fails(site, url=f"ws://{'a' * 64}.example/?key=secret")).endswith("its name was not found")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-secret\r\n\r\n"])
async def test_a_server_without_websocket_makes_the_agent_unavailable(site: Site, answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(reply, "localhost", 0) as other:
        await _fails(site, url=f"ws://localhost:{other.sockets[0].getsockname()[1]}/?key=secret")


async def test_a_slow_dns_lookup_counts_towards_the_connect_timeout() -> None:
    go = threading.Event()

    def hang(_name: str) -> tuple[str, ...]:
        go.wait(10)
        return ()

    resolver = Resolver(time.monotonic, system=hang)
    config = WebsocketAgentConfig(type="websocket", url="ws://dead.test/", connect_timeout_seconds=0.3)
    try:
        with pytest.raises(AgentUnavailable, match=r"within 0\.3 s"):
            await Opener(config, resolver, trust_authorities, lambda _url: {}).open()
    finally:
        go.set()
        await resolver.close()


async def test_an_agent_that_does_not_respond_in_time_is_unavailable_and_its_socket_closed(site: Site) -> None:
    gone = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(ignore, "localhost", 0) as other:
        url = f"ws://localhost:{other.sockets[0].getsockname()[1]}/?key=secret"
        assert "within 0.3 s" in await _fails(site, url=url, connect_timeout_seconds=0.3)
        await gone.wait()


async def test_an_upgrade_after_the_caller_hung_up_is_closed(site: Site) -> None:
    asked, late = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("localhost", site.server.port)
        inner_writer.write(request)
        answer = await inner_reader.readuntil(b"\r\n\r\n")
        asked.set()
        await late.wait()
        writer.write(answer)
        inner_writer.write(await reader.read())
        inner_writer.close()
        writer.close()

    async with await asyncio.start_server(slow, "localhost", 0) as other:
        url = f"ws://localhost:{other.sockets[0].getsockname()[1]}/"
        connecting = asyncio.ensure_future(site.agent(url=url).connect(identity(), site.leg))
        agent_socket = await site.server.accept()
        await asked.wait()
        connecting.cancel()
        await asyncio.wait([connecting])
        late.set()
        assert await agent_socket.closed == 1000


async def test_no_socket_is_opened_after_the_caller_hung_up(site: Site) -> None:
    site.leg.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await site.connect()
    assert site.server.attempts == 0


async def test_callers_of_one_agent_share_no_state(site: Site) -> None:
    agent = site.agent()
    other = Site(site.server)
    runs = []
    for place in (site, other):
        conversation = await agent.connect(identity(), place.leg)
        runs.append((conversation, asyncio.ensure_future(conversation.run(place.call)), await site.server.accept()))
    (_, first, first_socket), (_, second, second_socket) = runs
    start, other_start = await first_socket.begin(), await second_socket.begin()
    assert start["streamSid"] != other_start["streamSid"]
    second_socket.send_audio(b"for the second")
    await second_socket.settle()
    assert (site.audio.audio, other.audio.audio) == (b"", b"for the second")
    first_socket.send_audio(FRAME)
    first_socket.hang_up(1000)
    assert (await first).ending is AGENT_ENDED
    assert not second.done()
    second_socket.hang_up(1000)
    await second
