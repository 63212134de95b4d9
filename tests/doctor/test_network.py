from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import web

from sipbridge.doctor import network
from sipbridge.doctor.finding import Finding, Level
from sipbridge.doctor.network import check_firewall, check_ports
from tests.harness.ports import free_port

from .conftest import MakeConfig

LOOPBACK = ("127.0.0.1:5060", "127.0.0.1:0")
TRUNK = ('trusted_sources: ["127.0.0.0/8"]', 'trusted_sources: ["127.0.0.1/32", "203.0.113.0/24"]')
OUTSIDE = ("127.0.0.1:5060", "0.0.0.0:5060")


@pytest.fixture
def held() -> Iterator[int]:
    """A port that another program has, for UDP and TCP, and on which nothing responds."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        port = free_port()
        udp.bind(("127.0.0.1", port))
        tcp.bind(("127.0.0.1", port))
        tcp.listen()
        yield port


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """An HTTP server with the given `Server` header, whose `/readyz` has the given status."""
    server, status = request.param

    async def ready(_: web.Request) -> web.Response:
        body = {"error_message": "the bridge drains", "code": "unavailable"}
        return web.json_response(body, status=status, headers={"Server": server})

    app = web.Application()
    app.router.add_get("/readyz", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def found(make_config: MakeConfig, *changes: tuple[str, str]) -> dict[str, Finding]:
    return {each.subject: each async for each in check_ports(make_config(*changes))}


async def test_free_ports_are_fine(make_config: MakeConfig) -> None:
    findings = await found(make_config, LOOPBACK, ('"127.0.0.1:8080"', '"127.0.0.1:0"'))
    assert {each.level for each in findings.values()} == {Level.OK}


async def test_a_port_that_another_program_has_is_a_fault(
    make_config: MakeConfig, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_RESPONSE_SECONDS", 0.2)
    findings = await found(
        make_config, ("127.0.0.1:5060", f"127.0.0.1:{held}"), ('"127.0.0.1:8080"', f'"127.0.0.1:{held}"')
    )
    for subject in (f"udp://127.0.0.1:{held}", f"tcp://127.0.0.1:{held}", f"http://127.0.0.1:{held}"):
        assert findings[subject].level is Level.FAULT
        assert "another program has the port" in findings[subject].text


@pytest.mark.parametrize(("agent", "level"), [("sipbridge", Level.OK), ("other", Level.FAULT)])
async def test_another_sip_server_is_not_taken_for_a_bridge(make_config: MakeConfig, agent: str, level: Level) -> None:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self._transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            head = data.decode().split("\r\n", 1)[1]
            self._transport.sendto(f"SIP/2.0 200 OK\r\nUser-Agent: {agent}\r\n{head}".encode(), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    findings = await found(make_config, ("udp://127.0.0.1:5060", f"udp://127.0.0.1:{port}"))
    transport.close()
    assert findings[f"udp://127.0.0.1:{port}"].level is level


async def test_a_bridge_that_does_not_trust_this_machine_is_a_warning(make_config: MakeConfig, held: int) -> None:
    untrusted = ('trusted_sources: ["127.0.0.0/8"]', 'trusted_sources: ["203.0.113.0/24"]')
    findings = await found(make_config, ("127.0.0.1:5060", f"127.0.0.1:{held}"), untrusted)
    for transport in ("udp", "tcp"):
        finding = findings[f"{transport}://127.0.0.1:{held}"]
        assert finding.level is Level.WARNING
        assert "does not respond to 127.0.0.1, which is not in sip.trusted_sources; add it" in finding.text


@pytest.mark.parametrize(
    ("api", "level", "text"),
    [
        (("sipbridge", 200), Level.OK, "a bridge runs here, and takes calls"),
        (("sipbridge", 503), Level.WARNING, "takes no calls: the bridge drains"),
        (("sipbridge", 404), Level.OK, "a bridge runs here"),
        (("other", 200), Level.FAULT, "another program has the port"),
    ],
    indirect=["api"],
)
async def test_a_running_bridge_is_asked_if_it_takes_calls(
    make_config: MakeConfig, api: int, level: Level, text: str
) -> None:
    findings = await found(make_config, LOOPBACK, ('"127.0.0.1:8080"', f'"127.0.0.1:{api}"'))
    finding = findings[f"http://127.0.0.1:{api}"]
    assert finding.level is level
    assert text in finding.text


async def test_audio_ports_that_connections_use_too_are_a_warning(make_config: MakeConfig) -> None:
    finding = (await found(make_config, LOOPBACK, ("[20000, 29999]", "[40000, 40999]")))["UDP 40000 to 40999"]
    assert finding.level is Level.WARNING
    assert "connections of this machine take ports from" in finding.text


async def test_audio_ports_in_use_are_counted(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "range").write_text("1024\t1025\n")
    monkeypatch.setattr(network, "_EPHEMERAL", tmp_path / "range")
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port: int = other.getsockname()[1] & ~1
        subject = f"UDP {port} to {port + 1}"
        finding = (await found(make_config, LOOPBACK, ("[20000, 29999]", f"[{port}, {port + 1}]")))[subject]
    assert finding.level is Level.WARNING
    assert "1 of sip.rtp_ports are in use" in finding.text


def test_a_bridge_for_this_machine_needs_no_firewall(make_config: MakeConfig) -> None:
    (finding,) = check_firewall(make_config())
    assert finding.level is Level.OK
    assert "nothing to open" in finding.text


def test_the_firewall_must_admit_the_trunk_and_its_audio(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "address_towards", lambda *_: IPv4Address("198.51.100.9"))
    firewall, address = check_firewall(make_config(TRUNK, OUTSIDE))
    assert (firewall.level, address.level) == (Level.OK, Level.OK)
    assert "must admit UDP 5060, TCP 5060 from 203.0.113.0/24, UDP 20000 to 29999" in firewall.text
    assert "the trunk gets 198.51.100.9" in address.text


def test_a_trunk_cannot_reach_a_bridge_on_loopback(make_config: MakeConfig) -> None:
    (finding,) = check_firewall(make_config(TRUNK))
    assert finding.level is Level.FAULT
    assert "loopback only, which 203.0.113.0/24 cannot reach" in finding.text


def test_a_private_address_needs_a_public_one(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "address_towards", lambda *_: IPv4Address("10.0.0.5"))
    public = ('trusted_sources: ["127.0.0.0/8"]', 'trusted_sources: ["8.8.8.0/24"]')
    *_, finding = check_firewall(make_config(public, OUTSIDE))
    assert finding.level is Level.WARNING
    assert "set sip.public_address" in finding.text
    *_, finding = check_firewall(make_config(("# public_address: 198.51.100.7", "public_address: 198.51.100.7")))
    assert finding.level is Level.OK
    assert "the trunk gets 198.51.100.7 in SDP, and this machine has 10.0.0.5" in finding.text


def test_a_machine_without_a_route_to_the_trunk_is_a_fault(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "address_towards", lambda *_: None)
    *_, finding = check_firewall(make_config(TRUNK, OUTSIDE))
    assert finding.level is Level.FAULT
    assert "no route leads from 0.0.0.0 to 203.0.113.0/24" in finding.text


def test_our_address_is_that_of_the_route_or_the_one_that_we_listen_on() -> None:
    assert network.address_towards("127.0.0.9") == IPv4Address("127.0.0.1")
    assert network.address_towards("127.0.0.9", "127.0.0.5") == IPv4Address("127.0.0.5")


@pytest.mark.parametrize(
    ("trusted", "asked"),
    [("203.0.113.0/24", "203.0.113.1"), ("203.0.113.9/32", "203.0.113.9"), ("0.0.0.0/0", "192.0.2.1")],
)
def test_the_route_is_that_to_a_host_of_the_trunk(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, trusted: str, asked: str
) -> None:
    hosts: list[str] = []
    monkeypatch.setattr(network, "address_towards", lambda host, _: hosts.append(host))
    list(check_firewall(make_config(('trusted_sources: ["127.0.0.0/8"]', f'trusted_sources: ["{trusted}"]'), OUTSIDE)))
    assert hosts == [asked]
