"""The checks of our own addresses and ports, and hints for the firewall."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import cast

import aiohttp

from sipbridge.config import (
    Config,
    HostPort,
    ListenUrl,
    SipConfig,
    TlsConfig,
    authority,
    is_loopback,
    own_client,
    ports_per_call,
)
from sipbridge.simulators.caller.connection import Transport
from sipbridge.simulators.caller.options import ask_options
from sipbridge.web.api.schemas import ErrorResponse
from sipbridge.web.server.security_headers import SERVER

from .finding import Finding, fault, ok, warning

_RESPONSE_SECONDS = 3.0
_OTHER_PROGRAM = "another program has the port; stop it, or give the bridge another"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ANY = ("0.0.0.0", "::")  # noqa: S104 (compared, not opened)
_LOOPBACK = IPv4Network("127.0.0.0/8")


async def check_ports(config: Config) -> AsyncIterator[Finding]:
    """Check each port: it is free, or the running bridge responds on it."""
    for url in config.sip.listen:
        yield await _sip_port(url, config.sip)
    for listen in filter(None, (config.http.listen, config.http.admin.listen)):
        yield await _http_port(listen)
    yield _rtp_ports(config)


async def _sip_port(url: ListenUrl, sip: SipConfig) -> Finding:
    kind = socket.SOCK_DGRAM if url.transport == "udp" else socket.SOCK_STREAM
    if not _is_in_use(kind, url.host, url.port):
        return ok(url, "free: no bridge runs here")
    source = address_towards(_own(url.host))
    if not any(source in network for network in sip.trusted_sources):
        return warning(
            url,
            f"in use, and a bridge does not respond to {source}, which is not in sip.trusted_sources; "
            "add it for this check and for test calls",
        )
    return await _sip_server(url, sip.tls)


async def _sip_server(url: ListenUrl, tls: TlsConfig) -> Finding:
    """Ask the program that has the port with OPTIONS."""
    try:
        async with asyncio.timeout(_RESPONSE_SECONDS):
            transport = cast("Transport", url.transport)
            response = await ask_options(transport, _own(url.host), url.port, own_client(tls))
    except ssl.SSLError as error:
        return warning(url, f"a TLS server runs here, and refuses one from this machine: {error.reason}; check sip.tls")
    except OSError:
        return fault(url, _OTHER_PROGRAM)
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return warning(url, "the bridge responds, but takes no calls; see /readyz for the reason")
    if response.header("User-Agent") != SERVER:  # a bridge has the same name in SIP and in HTTP
        return fault(url, _OTHER_PROGRAM)
    return ok(url, f"a bridge runs here: OPTIONS gets {response.status}")


async def _http_port(listen: HostPort) -> Finding:
    subject = f"http://{listen}"
    if not _is_in_use(socket.SOCK_STREAM, listen.host, listen.port):
        return ok(subject, "free: no bridge runs here")
    url = f"http://{authority(_own(listen.host), listen.port)}/readyz"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_RESPONSE_SECONDS)) as session,
            session.get(url) as response,
        ):
            if response.headers.get("Server") != SERVER:
                return fault(subject, _OTHER_PROGRAM)
            status, text = response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return fault(subject, _OTHER_PROGRAM)
    match status:
        case HTTPStatus.OK:
            return ok(subject, "a bridge runs here, and takes calls")
        case HTTPStatus.SERVICE_UNAVAILABLE:
            reason = ErrorResponse.model_validate_json(text).error_message
            return warning(subject, f"a bridge runs here, and takes no calls: {reason}")
        case _:  # `http.admin.listen` has no /readyz
            return ok(subject, "a bridge runs here")


def _is_in_use(kind: socket.SocketKind, host: str, port: int) -> bool:
    """True if a program has the port. The check of the file has found every other reason not to listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:  # as the listeners do, for connections of an earlier run
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _rtp_ports(config: Config) -> Finding:
    first, last = config.sip.rtp_ports
    subject = f"UDP {first} to {last}"
    low, high = map(int, _EPHEMERAL.read_text(encoding="ascii").split())
    if first <= high and low <= last:
        return warning(
            subject,
            f"connections of this machine take ports from {low} to {high}, so sip.rtp_ports may lack some; "
            f"write a range below {low}",
        )
    busy = sum(_is_in_use(socket.SOCK_DGRAM, "0.0.0.0", port) for port in range(first, last + 1))  # noqa: S104 (RTP does)
    needed = ports_per_call(config) * config.sip.max_calls
    free = last - first + 1 - busy
    if free < min(needed, last - first + 1):
        return warning(subject, f"{busy} of sip.rtp_ports are in use, and {free} free ones may not carry sip.max_calls")
    return ok(subject, f"{free} ports for audio are free")


def check_firewall(config: Config) -> Iterator[Finding]:
    """Say what a firewall has to admit, and find addresses that the trunk cannot reach."""
    networks = [network for network in config.sip.trusted_sources if network.version == 4]  # noqa: PLR2004 (IPv4)
    outside = [network for network in networks if not network.subnet_of(_LOOPBACK)]
    if not outside:
        yield ok("firewall", "nothing to open: only this machine is in sip.trusted_sources")
        return
    sources = ", ".join(map(str, outside))
    ports = ", ".join(f"{'UDP' if url.transport == 'udp' else 'TCP'} {url.port}" for url in config.sip.listen)
    first, last = config.sip.rtp_ports
    if all(is_loopback(url.host) for url in config.sip.listen):
        yield fault("firewall", f"sip.listen has loopback only, which {sources} cannot reach; write 0.0.0.0")
        return
    yield ok("firewall", f"must admit {ports} from {sources}, UDP {first} to {last} from CXone's media, HTTPS to CXone")
    yield _nat(config, outside)


def _nat(config: Config, outside: list[IPv4Network]) -> Finding:
    """Compare the address that we would send from with the one in our SDP."""
    remote = next((network for network in outside if not network.is_private), outside[0])
    bound = config.sip.listen[0].host  # audio is sent from the first address
    ours = address_towards(_host_in(remote), bound)
    if ours is None:
        return fault("address", f"no route leads from {bound} to {remote}; check sip.listen and the network")
    public = config.sip.public_address
    if public is None and ours.is_private and not remote.is_private:
        return warning(
            "address", f"{ours} is private, and the trunk at {remote} cannot send audio to it; set sip.public_address"
        )
    return ok(
        "address", f"the trunk gets {public or ours} in SDP" + (f", and this machine has {ours}" if public else "")
    )


def _host_in(network: IPv4Network) -> str:
    """Return an address of a network; of all addresses, one that the default route leads to (RFC 5737)."""
    return str(network[min(1, network.num_addresses - 1)]) if network.prefixlen else "192.0.2.1"


def address_towards(host: str, bound: str = "0.0.0.0") -> IPv4Address | None:  # noqa: S104 (any of ours)
    """Return the address from which we send to a host; `bound` is the one that we listen on. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((bound, 0))
            probe.connect((host, 9))
        except OSError:
            return None
        return IPv4Address(probe.getsockname()[0])


def _own(host: str) -> str:
    return "127.0.0.1" if host in _ANY else host
