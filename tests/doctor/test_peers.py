from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from sipbridge.config import Config, ProjectKey
from sipbridge.dns import Resolver
from sipbridge.doctor import peers
from sipbridge.doctor.finding import Finding, Level
from sipbridge.doctor.peers import check_agent, check_cxone, check_names, compare_clocks
from sipbridge.http import HttpClient
from sipbridge.simulators.cxone import running_simulator
from sipbridge.simulators.echo_agent import EchoAgent
from tests.harness.certificates import Authority
from tests.harness.ports import free_port

from .conftest import MakeConfig

AGENT = 'agent: {type: websocket, url: "ws://127.0.0.1:9200/media"}'
ISSUER = 'issuer: "http://127.0.0.1:9100"'


@pytest.fixture
async def simulator() -> AsyncIterator[str]:
    async with running_simulator() as url:
        yield url


async def cxone(config: Config) -> list[Finding]:
    resolver = Resolver(lambda: 0.0)
    try:
        async with HttpClient(resolver) as http:
            return [each async for each in check_cxone("acme", config.clients["acme"], http)]
    finally:
        await resolver.close()


async def agent(config: Config, resolver: Resolver) -> list[Finding]:
    key = ProjectKey("acme", "voice")
    return [each async for each in check_agent(key, dict(config.voice_projects())[key], config, resolver)]


async def test_names_are_looked_up_and_addresses_are_not(make_config: MakeConfig) -> None:
    def system(host: str) -> tuple[str, ...]:
        if host == "agents.test":
            return ("203.0.113.7",)
        raise OSError

    resolver = Resolver(lambda: 0.0, system=system)
    config = make_config(
        (ISSUER, 'issuer: "https://cxone.test"'),
        ("ws://127.0.0.1:9200", "wss://agents.test"),
        # For desktops only, and not a URL before it is rendered.
        ('p9: "{pop_url}"', 'p9: "https://[{contact_id}.crm.test"'),
    )
    found = {each.subject: each async for each in check_names(config, resolver)}
    await resolver.close()
    assert found["DNS agents.test"].level is Level.OK
    assert "203.0.113.7" in found["DNS agents.test"].text
    assert found["DNS cxone.test"].level is Level.FAULT
    assert "check the name" in found["DNS cxone.test"].text
    assert len(found) == 2


async def test_a_token_and_the_discovery_of_the_api_are_checked_and_the_clock_is_compared(
    make_config: MakeConfig, simulator: str
) -> None:
    token, clock = await cxone(make_config((ISSUER, f'issuer: "{simulator}"')))
    assert (token.level, clock.level) == (Level.OK, Level.OK)
    assert f"for the API at {simulator}" in token.text


async def test_a_refused_client_is_reported_with_the_keys_to_check(
    make_config: MakeConfig, simulator: str, file: Path
) -> None:
    (file.parent / "secrets" / "acme_client_secret").write_text("wrong")
    (token,) = await cxone(make_config((ISSUER, f'issuer: "{simulator}"')))
    assert token.level is Level.FAULT
    assert token.text.endswith("responded with 401: check cxone.client_id and cxone.client_secret")


async def test_an_unreachable_simulator_is_to_be_started(make_config: MakeConfig) -> None:
    (token,) = await cxone(make_config((ISSUER, f'issuer: "http://127.0.0.1:{free_port()}"')))
    assert token.level is Level.FAULT
    assert "connection refused; is `sipbridge simulate` running?" in token.text


@pytest.mark.parametrize(
    ("off", "level", "text"),
    [
        (2.0, Level.OK, "agrees with CXone's"),
        (-20.0, Level.OK, "agrees with CXone's"),
        (40.0, Level.FAULT, "is 40 s ahead of CXone's; set the clock"),
        (-300.0, Level.FAULT, "is 300 s behind CXone's; set the clock"),
    ],
)
def test_a_clock_that_differs_from_that_of_cxone_is_a_fault(off: float, level: Level, text: str) -> None:
    found = compare_clocks("clock", off)
    assert (found.level, found.text) == (level, text)


async def test_a_websocket_agent_is_opened_without_a_call(make_config: MakeConfig, resolver: Resolver) -> None:
    runner = web.AppRunner(EchoAgent("0", {}).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"ws://127.0.0.1:{runner.addresses[0][1]}/media"
    (found,) = await agent(make_config(("ws://127.0.0.1:9200/media", url)), resolver)
    assert found.level is Level.OK, found
    wrong = make_config((url, url.replace("media", "nothing")))
    (found,) = await agent(wrong, resolver)
    assert found.level is Level.FAULT
    assert "its response to the upgrade is 404" in found.text
    await runner.cleanup()


class Options(asyncio.DatagramProtocol):
    """A SIP agent that rejects OPTIONS with 405, or is silent."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._silent:
            head = data.decode().split("\r\n", 1)[1]
            self._transport.sendto(f"SIP/2.0 405 Method Not Allowed\r\n{head}".encode(), addr)


@pytest.mark.parametrize(
    ("silent", "level", "text"),
    [(False, Level.OK, "responds to OPTIONS with 405"), (True, Level.WARNING, "it may ignore OPTIONS")],
)
async def test_a_sip_agent_gets_options(
    make_config: MakeConfig,
    resolver: Resolver,
    monkeypatch: pytest.MonkeyPatch,
    *,
    silent: bool,
    level: Level,
    text: str,
) -> None:
    if silent:
        monkeypatch.setattr(peers, "_SIP_SECONDS", 0.2)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Options(silent=silent), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    (found,) = await agent(make_config((AGENT, f'agent: {{type: sip, uri: "sip:bot@127.0.0.1:{port}"}}')), resolver)
    transport.close()
    assert found.level is level, found
    assert text in found.text


async def test_a_udp_port_on_which_no_agent_listens_is_a_fault(make_config: MakeConfig, resolver: Resolver) -> None:
    uri = f"sip:bot@127.0.0.1:{free_port()}"
    (found,) = await agent(make_config((AGENT, f'agent: {{type: sip, uri: "{uri}"}}')), resolver)
    assert found.level is Level.FAULT
    assert "connection refused; check the URI, and that the agent runs" in found.text


async def test_a_sip_agent_that_refuses_connections_is_a_fault_and_so_is_a_desk(
    make_config: MakeConfig, resolver: Resolver
) -> None:
    port = free_port()
    desk = f'desk: {{method: invite, uri: "sip:desk@127.0.0.1:{port};transport=tcp"}}'
    config = make_config(
        (AGENT, f'agent: {{type: sip, uri: "sip:bot@127.0.0.1:{port};transport=tcp"}}'),
        ("destinations:\n", f"destinations:\n            {desk}\n"),
    )
    findings = await agent(config, resolver)
    assert [each.subject for each in findings] == ["agent acme/voice", "desk acme/voice desk"]
    for each in findings:
        assert each.level is Level.FAULT
        assert f"tcp://127.0.0.1:{port}: connection refused" in each.text


async def test_a_sip_agent_whose_certificate_is_not_trusted_is_a_fault(
    make_config: MakeConfig, resolver: Resolver, tmp_path: Path
) -> None:
    pair = Authority(tmp_path).issue("agent")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    tls = f"tls: {{certificate_file: {pair.certificate}, private_key_file: {pair.key}}}"
    config = make_config(
        ("tcp://127.0.0.1:5060", "tls://127.0.0.1:5061"),
        ("  max_calls: 100", f"  max_calls: 100\n  {tls}"),
        (AGENT, f'agent: {{type: sip, uri: "sip:bot@127.0.0.1:{port};transport=tls"}}'),
    )
    (found,) = await agent(config, resolver)
    server.close()
    await server.wait_closed()
    assert found.level is Level.FAULT
    assert "its certificate is not trusted" in found.text


async def test_an_agent_that_asks_for_our_certificate_gets_it(
    make_config: MakeConfig, resolver: Resolver, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("both", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[2]
        writer.write(b"SIP/2.0 200 OK\r\n" + head)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    files = f"certificate_file: {pair.certificate}, private_key_file: {pair.key}, ca_file: {authority.file}"
    config = make_config(
        ("tcp://127.0.0.1:5060", "tls://127.0.0.1:5061"),
        ("  max_calls: 100", f"  max_calls: 100\n  tls: {{{files}}}"),
        (AGENT, f'agent: {{type: sip, uri: "sip:bot@127.0.0.1:{port};transport=tls"}}'),
    )
    (found,) = await agent(config, resolver)
    server.close()
    await server.wait_closed()
    assert found.level is Level.OK, found
    assert "responds to OPTIONS with 200" in found.text


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
async def test_the_clock_is_compared_with_the_date_of_a_response(zone: str) -> None:
    async def discovery(_: web.Request) -> web.Response:
        date = f"{datetime.now(UTC) - timedelta(minutes=5):%a, %d %b %Y %H:%M:%S} {zone}"
        return web.Response(headers={"Date": date})

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = await peers.clock_of("clock", f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()
    assert found.level is Level.FAULT
    assert "ahead of CXone's; set the clock" in found.text


async def test_a_recording_is_always_reached(make_config: MakeConfig, resolver: Resolver) -> None:
    (found,) = await agent(make_config((AGENT, "agent: {type: prompt, then: handoff}")), resolver)
    assert found.level is Level.OK
