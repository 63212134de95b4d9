"""What a valid configuration should still be told about."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

from sipbridge.config.addresses import sip_transport
from sipbridge.config.agents import SipAgentConfig, WebsocketAgentConfig
from sipbridge.config.handoff import InviteDestination, ReferDestination
from sipbridge.config.models import Config, ProjectConfig
from sipbridge.config.sizes import ports_a_call


def unsupported(config: Config) -> list[str]:
    """Name what the configuration asks for and this release does not do yet: with any of it, no start."""
    return [f"{key} is not supported in this release; {instead}" for key, instead in _unsupported(config)]


def _unsupported(config: Config) -> Iterator[tuple[str, str]]:
    for position, url in enumerate(config.sip.listen):
        if url.transport == "tls":
            yield f"sip.listen[{position}]: TLS", "listen on udp:// or tcp://"
    if config.sip.srtp != "disabled":
        yield "sip.srtp: SRTP", "write disabled"
    if config.store.sqlite_path is None:
        yield "store.url: Redis", "write sqlite:///PATH"
    for place, project in _projects(config):
        for key in _over_tls(project):
            yield f"{place}.{key}: SIP over TLS", "write a sip: URI over UDP or TCP"


def _over_tls(project: ProjectConfig) -> Iterator[str]:
    agent = project.agent
    if isinstance(agent, SipAgentConfig) and "tls" in {sip_transport(uri) or agent.transport for uri in agent.uri}:
        yield "agent.uri"
    for name, destination in project.handoff.destinations.items():
        if isinstance(destination, ReferDestination | InviteDestination) and sip_transport(destination.uri) == "tls":
            yield f"handoff.destinations.{name}.uri"


def warnings(config: Config) -> list[str]:
    """Name what works and is probably not meant, or is less safe than it looks."""
    return list(_warnings(config))


def _warnings(config: Config) -> Iterator[str]:
    if any(network.prefixlen == 0 for network in config.sip.trusted_sources):
        yield "sip.trusted_sources: everybody is trusted; name the networks of the trunk"
    yield from _too_few_ports(config)
    yield from _pop_links(config)
    admin = config.http.admin.listen
    if admin and not _is_local(f"//{admin}"):
        yield "http.admin.listen: its key travels unencrypted from other machines; write 127.0.0.1:PORT"
    for client_id, client in config.clients.items():
        for key in ("issuer", "api_url"):
            if _is_clear_and_far(getattr(client.cxone, key)):
                yield f"clients.{client_id}.cxone.{key}: credentials travel unencrypted; write https://"
    for place, project in _projects(config):
        for warning in _of_project(project):
            yield f"{place}.{warning}"


def _of_project(project: ProjectConfig) -> Iterator[str]:
    if project.auth_token is None:
        yield "auth_token: null lets in every call to the client's numbers; give a token"
    if isinstance(project.agent, WebsocketAgentConfig):
        yield from _of_websocket(project.agent)
    if project.tts_command is not None and shutil.which(project.tts_command[0]) is None:
        yield "tts_command: its program is not found here, so no utterance would be spoken; install it or give its path"
    for position, pattern in enumerate(project.handoff.allowed_routes):
        host = pattern.rpartition("@")[2] if "@" in pattern else "*"
        if pattern.startswith("tel:"):
            continue
        if not host.strip("*."):
            yield f"handoff.allowed_routes[{position}]: names no host, so it allows any; write sip:*@HOST"
        elif host.endswith(".*") and re.search("[A-Za-z]", host):
            yield f"handoff.allowed_routes[{position}]: allows any domain under the star; write the host's whole name"


def _of_websocket(agent: WebsocketAgentConfig) -> Iterator[str]:
    if agent.ca_file is not None and urlsplit(agent.url).scheme == "ws":
        yield "agent.ca_file: ws:// shows no certificate to check; write wss:// in agent.url"
    if agent.headers and _is_clear_and_far(agent.url):
        yield "agent.url: credentials travel unencrypted in the headers; write wss://"


def _too_few_ports(config: Config) -> Iterator[str]:
    first, last = config.sip.rtp_ports
    needed = ports_a_call(config) * config.sip.max_calls
    if last - first + 1 < needed:
        yield f"sip.rtp_ports: holds {last - first + 1} ports; sip.max_calls needs up to {needed} of them"


def _pop_links(config: Config) -> Iterator[str]:
    if not any("pop_url" in template.names for _, p in _projects(config) for template in p.handoff.signal.values()):
        return
    if _is_local(config.http.public_url):
        yield "http.public_url: a desktop cannot open the {pop_url} of a Signal there; write the address it reaches"
    if config.http.pop_link_secret is None:
        yield "http.pop_link_secret: null, so {pop_url} links die with a restart; give a long random text"


def _is_clear_and_far(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme in ("http", "ws") and not _is_local(url)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _projects(config: Config) -> Iterator[tuple[str, ProjectConfig]]:
    for client_id, client in config.clients.items():
        for project_id, project in client.projects.items():
            yield f"clients.{client_id}.projects.{project_id}", project
