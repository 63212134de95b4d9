"""The checks of the peers: names, CXone, agents and desks."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit

import aiohttp

from sipbridge.agents.websocket import trust_authorities
from sipbridge.agents.websocket.opening import Opener
from sipbridge.agents.websocket.protocols.twilio import upgrade_headers
from sipbridge.config import (
    ClientConfig,
    Config,
    InviteDestination,
    ProjectKey,
    SipAgentConfig,
    TlsConfig,
    VoiceProjectConfig,
    WebsocketAgentConfig,
    is_address,
    is_loopback,
)
from sipbridge.connection_errors import explain_connection_error
from sipbridge.cxone.tokens import TokenSource
from sipbridge.dns import Resolver
from sipbridge.errors import AgentUnavailable, CxoneError, NameNotResolved
from sipbridge.http import HttpClient
from sipbridge.simulators.caller.connection import Transport
from sipbridge.simulators.caller.options import ask_options
from sipbridge.sip.targets import Hop, Locator, Target
from sipbridge.telephony.sip_uri import SipUri

from .finding import Finding, fault, ok, warning

_SCHEMES = ("http://", "https://", "ws://", "wss://")
_SIP_SECONDS = 3.0
_CLOCK_SECONDS = 5.0
# Beyond it, a token of CXone or a link of a screen-pop may count as expired or not yet valid.
_CLOCK_TOLERANCE_SECONDS = 30


async def check_names(config: Config, resolver: Resolver) -> AsyncIterator[Finding]:
    """Look up each host name of the configuration, except those of SIP, whose targets are checked as a whole."""
    for finding in await asyncio.gather(*(_name(host, resolver) for host in sorted(set(_hosts(config))))):
        yield finding


async def _name(host: str, resolver: Resolver) -> Finding:
    subject, began = f"DNS {host}", time.monotonic()
    try:
        addresses = await resolver.addresses(host)
    except NameNotResolved as error:
        return fault(subject, f"{error}; check the name, and the name servers in /etc/resolv.conf")
    return ok(subject, f"{', '.join(addresses)}, in {(time.monotonic() - began) * 1000:.0f} ms")


def _hosts(config: Config) -> Iterator[str]:
    """Find the host names in URLs, of CXone, agents, chat channels and webhooks alike."""
    for url in (*_urls(config.model_dump()), f"//{config.sip.public_address or ''}"):
        host = urlsplit(url).hostname or ""
        if host and not is_loopback(host) and not is_address(host):
            yield host


def _urls(section: Mapping[str, object]) -> Iterator[str]:
    """Find the values of the keys for URLs. Other texts, such as a Signal's parameter, may look like one."""
    for key, value in section.items():
        match value:
            case Mapping():
                yield from _urls(value)
            case str() if (key == "issuer" or key.endswith("url")) and value.startswith(_SCHEMES):
                yield value


async def check_cxone(client_id: str, client: ClientConfig, http: HttpClient) -> AsyncIterator[Finding]:
    """Fetch a token of a client, with the discovery of its API, and compare the clocks."""
    subject = f"CXone {client_id}"
    tokens = TokenSource(client_id, client.cxone, http, lambda _: None)
    try:
        access = await tokens.get()
    except CxoneError as error:
        yield fault(subject, f"no token: {error}{_advice(str(error), client.cxone.issuer)}")
        return
    finally:
        await tokens.close()
    yield ok(subject, f"token received, for the API at {access.api_url}")
    yield await clock_of(f"clock, {client_id}", client.cxone.issuer)


def _advice(error: str, issuer: str) -> str:
    """Return what to check, unless the error says it."""
    if "check " in error or "set " in error:
        return ""
    if is_loopback(urlsplit(issuer).hostname or ""):
        return "; is `sipbridge simulate` running?"
    return "; check cxone.issuer, and that the firewall admits HTTPS to CXone"


async def clock_of(subject: str, issuer: str) -> Finding:
    """Compare our clock with the Date of a response, which has whole seconds in GMT (RFC 9110, 5.6.7 and 6.6.1)."""
    timeout = aiohttp.ClientTimeout(total=_CLOCK_SECONDS)
    url = f"{issuer}/.well-known/openid-configuration"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            theirs = parsedate_to_datetime(response.headers["Date"]).replace(tzinfo=UTC)
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
        return warning(subject, "CXone's responses have no date to compare with; check the clock yourself")
    return compare_clocks(subject, (datetime.now(UTC) - theirs).total_seconds())


def compare_clocks(subject: str, off: float) -> Finding:
    """Return what it means that our clock is ahead of CXone's by this many seconds."""
    if abs(off) > _CLOCK_TOLERANCE_SECONDS:
        return fault(subject, f"is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} CXone's; set the clock")
    return ok(subject, "agrees with CXone's")


async def check_agent(
    key: ProjectKey, project: VoiceProjectConfig, config: Config, resolver: Resolver
) -> AsyncIterator[Finding]:
    """Check that the agent of a project, and each desk that it hands off to, can be reached."""
    agent, name = project.agent, f"{key.client}/{key.project}"
    if isinstance(agent, WebsocketAgentConfig):
        yield await _websocket(f"agent {name}", agent, resolver)
    elif isinstance(agent, SipAgentConfig):
        for uri in agent.uri:
            parsed = SipUri.parse(uri).with_transport(agent.transport)
            yield await _sip(f"agent {name}", parsed, config, resolver)
    else:
        yield ok(f"agent {name}", "a recording, which the bridge plays itself")
    for destination, settings in project.handoff.destinations.items():
        if isinstance(settings, InviteDestination):
            yield await _sip(f"desk {name} {destination}", SipUri.parse(settings.uri), config, resolver)


async def _websocket(subject: str, agent: WebsocketAgentConfig, resolver: Resolver) -> Finding:
    """Open a WebSocket as for a call, and close it without a `start`."""
    began = time.monotonic()
    opener = Opener(agent, resolver, trust_authorities, upgrade_headers(agent.signature_token))
    try:
        connection = await opener.open()
    except AgentUnavailable as error:
        return fault(subject, f"{error}; check agent.url, and that the agent runs")
    connection.close()
    return ok(subject, f"accepts a WebSocket, in {(time.monotonic() - began) * 1000:.0f} ms")


async def _sip(subject: str, uri: SipUri, config: Config, resolver: Resolver) -> Finding:
    """Send OPTIONS to the targets of a URI in turn, until one responds."""
    transports = {url.transport for url in config.sip.listen}
    try:
        targets = await Locator(resolver, transports).find(Hop(*uri.next_hop))
    except NameNotResolved as error:
        return fault(subject, f"{error}; check the URI")
    reasons: list[str] = []
    for target in targets:
        try:
            async with asyncio.timeout(_SIP_SECONDS):
                response = await ask_options(
                    cast("Transport", target.transport), target.address, target.port, _context(config.sip.tls), uri.host
                )
        except OSError as error:
            reasons.append(f"{target}: {explain_connection_error(error)}")
        else:
            return ok(subject, f"{target} responds to OPTIONS with {response.status}")
    return _unreached(subject, targets, reasons)


def _unreached(subject: str, targets: list[Target], reasons: list[str]) -> Finding:
    text = "; ".join(reasons)
    if any(target.transport == "udp" for target in targets) and "refused" not in text:
        return warning(subject, f"{text}; it may ignore OPTIONS: check the firewall, and try `sipbridge call`")
    return fault(subject, f"{text}; check the URI, and that the agent runs")


def _context(tls: TlsConfig) -> ssl.SSLContext:
    """Return the context of our TLS connections to agents, with our certificate for those that ask for it."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file is not None and tls.private_key_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.private_key_file)
    return context
