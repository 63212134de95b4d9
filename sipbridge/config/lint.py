"""What a valid configuration should still be told about."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from sipbridge.config.addresses import is_loopback
from sipbridge.config.agents import SipAgentConfig, WebsocketAgentConfig
from sipbridge.config.certificates import valid_until
from sipbridge.config.handoff import HandoffConfig, InviteDestination
from sipbridge.config.models import Config, ProjectConfig, SipConfig, TlsConfig
from sipbridge.config.problems import dotted
from sipbridge.config.projects import all_projects
from sipbridge.config.sip_uris import sip_transport, split_srtp
from sipbridge.config.sizes import ports_per_call

_EVERYBODY = ipaddress.IPv4Network("0.0.0.0/0")
# Of a certificate: what is left of it when somebody has to act.
_RENEWAL = timedelta(days=30)


def find_unsupported(config: Config) -> list[str]:
    """Name what the configuration asks for and this release does not do yet: with any of it, no start."""
    return [f"{key} is not supported in this release; {instead}" for key, instead in _unsupported(config)]


def _unsupported(config: Config) -> Iterator[tuple[str, str]]:
    if config.store.sqlite_path is None:
        yield "store.url: Redis", "write sqlite:///PATH"


def find_warnings(config: Config) -> list[str]:
    """Name what works and is probably not meant, or is less safe than it looks."""
    return list(_warnings(config))


def _warnings(config: Config) -> Iterator[str]:
    yield from config.remarks.warnings
    if any(network == _EVERYBODY for network in config.sip.trusted_sources):
        yield "sip.trusted_sources: everybody is trusted; name the networks of the trunk"
    if any(network.version == 6 for network in config.sip.trusted_sources):  # noqa: PLR2004 (IPv6)
        yield "sip.trusted_sources: SIP uses IPv4 only in this release, and no IPv6 network matches; take it out"
    yield from _keys_in_the_clear(config.sip)
    yield from _ending_certificate(config.sip.tls)
    yield from _too_few_ports(config)
    yield from _pop_links(config)
    if "*" in config.http.allowed_origins:
        yield "http.allowed_origins: any web page that has a key may use the API; name the origins of yours"
    admin = config.http.admin.listen
    if admin and not _is_local(f"//{admin}"):
        yield "http.admin.listen: its key travels unencrypted from other machines; write 127.0.0.1:PORT"
    for client_id, client in config.clients.items():
        for key in ("issuer", "api_url"):
            if _is_clear_and_far(getattr(client.cxone, key)):
                yield f"clients.{client_id}.cxone.{key}: credentials travel unencrypted; write https://"
    for project_key, project in all_projects(config):
        for warning in _of_project(project):
            yield f"{dotted(project_key.path)}.{warning}"


def _keys_in_the_clear(sip: SipConfig) -> Iterator[str]:
    """SDES puts the keys into SDP (RFC 4568): who reads the signalling reads the audio.

    No error: the network may be encrypted below, and SRTP still proves whom a packet is from.
    """
    clear = sorted({url.transport for url in sip.listen} - {"tls"})
    if sip.srtp != "disabled" and clear:
        yield f"sip.srtp: keys of calls over {' and '.join(clear)} travel unencrypted; listen on tls:// only"


def _ending_certificate(tls: TlsConfig) -> Iterator[str]:
    end = valid_until(tls)
    if end is not None and end - datetime.now(UTC) < _RENEWAL:
        yield f"sip.tls.certificate_file: expires on {end:%Y-%m-%d}; renew it"


def _of_project(project: ProjectConfig) -> Iterator[str]:
    if project.auth_token is None:
        yield "auth_token: null lets in every call to the client's numbers; give a token"
    for key, uri, transport in _uris_called(project):
        if split_srtp(uri)[1] != "disabled" and (sip_transport(uri) or transport) != "tls":
            yield f"{key}: keys of its SRTP travel unencrypted; add ;transport=tls"
    if isinstance(project.agent, WebsocketAgentConfig):
        yield from _of_websocket(project.agent)
    if project.tts_command is not None and shutil.which(project.tts_command[0]) is None:
        yield "tts_command: its program is not found here, so no utterance would be spoken; install it or give its path"
    yield from _named_like_an_end(project.handoff)
    for position, pattern in enumerate(project.handoff.allowed_routes):
        host = pattern.rpartition("@")[2] if "@" in pattern else "*"
        if pattern.startswith("tel:"):
            continue
        if not host.strip("*."):
            yield f"handoff.allowed_routes[{position}]: names no host, so it allows any; write sip:*@HOST"
        elif host.endswith(".*") and re.search("[A-Za-z]", host):
            yield f"handoff.allowed_routes[{position}]: allows any domain under the star; write the host's whole name"


def _named_like_an_end(handoff: HandoffConfig) -> Iterator[str]:
    """Find destinations that a Studio script takes for the end of a conversation."""
    ends = {template.text.casefold(): parameter for parameter, template in handoff.end_signal.items()}
    for name in handoff.destinations:
        if parameter := ends.get(name.casefold()):
            yield f"handoff.destinations.{name}: has the value of end_signal.{parameter}; a script takes it for the end"


def _uris_called(project: ProjectConfig) -> Iterator[tuple[str, str, str | None]]:
    """Find the URIs that we call, with their keys, and the transport of one that names none."""
    if isinstance(project.agent, SipAgentConfig):
        for position, uri in enumerate(project.agent.uri):
            yield f"agent.uri[{position}]", uri, project.agent.transport
    for name, destination in project.handoff.destinations.items():
        if isinstance(destination, InviteDestination):
            yield f"handoff.destinations.{name}.uri", destination.uri, None


def _of_websocket(agent: WebsocketAgentConfig) -> Iterator[str]:
    if agent.ca_file is not None and urlsplit(agent.url).scheme == "ws":
        yield "agent.ca_file: ws:// shows no certificate to check; write wss:// in agent.url"
    if (agent.headers or agent.signature_token) and _is_clear_and_far(agent.url):
        yield "agent.url: credentials travel unencrypted in the headers; write wss://"


def _too_few_ports(config: Config) -> Iterator[str]:
    first, last = config.sip.rtp_ports
    needed = ports_per_call(config) * config.sip.max_calls
    if last - first + 1 < needed:
        yield f"sip.rtp_ports: holds {last - first + 1} ports; sip.max_calls needs up to {needed} of them"


def _pop_links(config: Config) -> Iterator[str]:
    if not any("pop_url" in template.names for _, p in all_projects(config) for template in p.handoff.signal.values()):
        return
    if _is_local(config.http.public_url):
        yield "http.public_url: a desktop cannot open the {pop_url} of a Signal there; write the address it reaches"
    if config.http.pop_link_secret is None:
        yield "http.pop_link_secret: null, so {pop_url} links die with a restart; give a long random text"


def _is_clear_and_far(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme in ("http", "ws") and not _is_local(url)


def _is_local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
