"""Warnings about a valid configuration."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from sipbridge.config.addresses import is_local, is_loopback, is_unencrypted_and_remote
from sipbridge.config.agents import PromptAgentConfig, SipAgentConfig, WebsocketAgentConfig
from sipbridge.config.certificates import valid_until
from sipbridge.config.handoff import HandoffConfig, InviteDestination
from sipbridge.config.lint_chat import chat_warnings, webhook_warnings
from sipbridge.config.models import Config, SipConfig, TlsConfig
from sipbridge.config.problems import dotted
from sipbridge.config.projects import ProjectConfig, VoiceProjectConfig
from sipbridge.config.redis_url import RedisUrl, is_redis_url
from sipbridge.config.sizes import ports_per_call
from sipbridge.telephony.sip_uri import SipUri

_ANY_SOURCE = ipaddress.IPv4Network("0.0.0.0/0")
# The remaining validity of a certificate at which to warn.
RENEWAL = timedelta(days=30)


def find_warnings(config: Config) -> list[str]:
    """Return what works but is probably not intended, or is less safe than it looks."""
    return list(_warnings(config))


def _warnings(config: Config) -> Iterator[str]:
    yield from config.remarks.warnings
    if any(network == _ANY_SOURCE for network in config.sip.trusted_sources):
        yield "sip.trusted_sources: every source is trusted; name the networks of the trunk"
    if any(network.version == 6 for network in config.sip.trusted_sources):  # noqa: PLR2004 (IPv6)
        yield "sip.trusted_sources: SIP uses IPv4 only in this release, so an IPv6 network never matches; remove it"
    yield from _unencrypted_srtp_keys(config.sip)
    yield from _expiring_certificate(config.sip.tls)
    yield from _too_few_ports(config)
    yield from _pop_links(config)
    yield from _boxes(config)
    if "*" in config.http.allowed_origins:
        yield "http.allowed_origins: any web page that has a key may use the API; name your own origins"
    yield from _unencrypted_store(config)
    admin = config.http.admin.listen
    if admin and not is_local(f"//{admin}"):
        yield "http.admin.listen: its key travels unencrypted from other machines; write 127.0.0.1:PORT"
    for client_id, client in config.clients.items():
        for key in ("issuer", "api_url"):
            if is_unencrypted_and_remote(getattr(client.cxone, key)):
                yield f"clients.{client_id}.cxone.{key}: credentials travel unencrypted; write https://"
    for project_key, project in config.all_projects():
        for warning in _project_warnings(project):
            yield f"{dotted(project_key.path)}.{warning}"


def _unencrypted_store(config: Config) -> Iterator[str]:
    if is_redis_url(config.store.url):
        url = RedisUrl.parse(config.store.url)
        if not url.tls and not all(is_loopback(host) for host, _ in url.hosts):
            yield "store.url: records and password travel unencrypted; write rediss:// outside a safe network"


def _unencrypted_srtp_keys(sip: SipConfig) -> Iterator[str]:
    """Warn if SDES keys in SDP (RFC 4568) travel over an unencrypted transport, from which the audio can be decrypted.

    This is only a warning: the network itself may be encrypted, and SRTP still authenticates the sender of each packet.
    """
    clear = sorted({url.transport for url in sip.listen} - {"tls"})
    if sip.srtp != "disabled" and clear:
        yield f"sip.srtp: keys of calls over {' and '.join(clear)} travel unencrypted; listen on tls:// only"


def _expiring_certificate(tls: TlsConfig) -> Iterator[str]:
    end = valid_until(tls)
    if end is not None and end - datetime.now(UTC) < RENEWAL:
        yield f"sip.tls.certificate_file: expires on {end:%Y-%m-%d}; renew it"


def _project_warnings(project: ProjectConfig) -> Iterator[str]:
    if isinstance(project, VoiceProjectConfig):
        yield from _voice_warnings(project)
    if project.chat is not None:
        yield from chat_warnings(project.chat)
    if project.webhook is not None:
        yield from webhook_warnings(project.webhook, "webhook")


def _voice_warnings(project: VoiceProjectConfig) -> Iterator[str]:
    if project.auth_token is None:
        yield "auth_token: null admits every call to the client's numbers; give a token"
    for key, text, transport in _uris_called(project):
        uri = SipUri.parse(text)
        if uri.split_srtp()[1] != "disabled" and (uri.transport or transport) != "tls":
            yield f"{key}: its SRTP keys travel unencrypted; add ;transport=tls"
    if isinstance(project.agent, WebsocketAgentConfig):
        yield from _websocket_warnings(project.agent)
    if project.tts_command is not None and shutil.which(project.tts_command[0]) is None:
        yield "tts_command: its program is not on this machine, so no utterance is spoken; install it, or give its path"
    yield from _take_back_warnings(project)
    yield from _destinations_named_like_end_signal(project.handoff)
    yield from _wide_routes(project.handoff)


def _wide_routes(handoff: HandoffConfig) -> Iterator[str]:
    for position, pattern in enumerate(handoff.allowed_routes):
        host = pattern.rpartition("@")[2] if "@" in pattern else "*"
        if pattern.startswith("tel:"):
            continue
        if not host.strip("*."):
            yield f"handoff.allowed_routes[{position}]: names no host, so it allows any host; write sip:*@HOST"
        elif host.endswith(".*") and re.search("[A-Za-z]", host):
            yield f"handoff.allowed_routes[{position}]: allows any domain for the star; write the full host name"


def _destinations_named_like_end_signal(handoff: HandoffConfig) -> Iterator[str]:
    """Find destinations that a Studio script mistakes for the end of a conversation."""
    ends = {template.text.casefold(): parameter for parameter, template in handoff.end_signal.items()}
    for name in handoff.destinations:
        if parameter := ends.get(name.casefold()):
            yield f"handoff.destinations.{name}: is the value of end_signal.{parameter} too; rename it"


def _uris_called(project: VoiceProjectConfig) -> Iterator[tuple[str, str, str | None]]:
    """Find the URIs that we call, each with its key and the transport to use if the URI names none."""
    if isinstance(project.agent, SipAgentConfig):
        for position, uri in enumerate(project.agent.uri):
            yield f"agent.uri[{position}]", uri, project.agent.transport
    for name, destination in project.handoff.destinations.items():
        if isinstance(destination, InviteDestination):
            yield f"handoff.destinations.{name}.uri", destination.uri, None


def _take_back_warnings(project: VoiceProjectConfig) -> Iterator[str]:
    seconds = project.handoff.take_back_seconds
    if seconds is None:
        return
    if isinstance(project.agent, PromptAgentConfig):
        yield "handoff.take_back_seconds: has no effect, as a recording cannot get its caller back; remove it"
    elif not any(destination.signal for destination in project.handoff.destinations.values()):
        yield "handoff.take_back_seconds: has no effect, as no destination sends a Signal; remove it"
    elif seconds >= project.max_call_seconds:
        yield "handoff.take_back_seconds: has no effect, as a call ends before; make it less than max_call_seconds"


def _websocket_warnings(agent: WebsocketAgentConfig) -> Iterator[str]:
    if agent.ca_file is not None and urlsplit(agent.url).scheme == "ws":
        yield "agent.ca_file: has no effect, as ws:// has no certificate; write wss:// in agent.url"
    if (agent.headers or agent.signature_token) and is_unencrypted_and_remote(agent.url):
        yield "agent.url: credentials travel unencrypted in the headers; write wss://"


def _too_few_ports(config: Config) -> Iterator[str]:
    first, last = config.sip.rtp_ports
    needed = ports_per_call(config) * config.sip.max_calls
    if last - first + 1 < needed:
        yield f"sip.rtp_ports: holds {last - first + 1} ports; sip.max_calls needs up to {needed} of them"


def _pop_links(config: Config) -> Iterator[str]:
    if not any("pop_url" in template.names for _, project in config.all_projects() for template in project.templates):
        return
    if is_local(config.http.public_url):
        yield "http.public_url: a desktop cannot open a {pop_url} at this address; write one that it can reach"
    if config.http.pop_link_secret is None:
        yield "http.pop_link_secret: null, so {pop_url} links stop working after a restart; give a long random text"


def _boxes(config: Config) -> Iterator[str]:
    chats = [project.chat for _, project in config.all_projects() if project.chat is not None]
    has_box = any(channel.type == "byoc" for chat in chats for channel in chat.channels.values())
    if has_box and is_unencrypted_and_remote(config.http.public_url):
        yield "http.public_url: CXone sends the secrets of byoc channels there unencrypted; write https://"
