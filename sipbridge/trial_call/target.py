"""The destination of a test call, from the configuration of the bridge that it goes to."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from sipbridge.config import Config, ListenUrl, ProjectKey, TlsConfig, VoiceProjectConfig, is_loopback
from sipbridge.config.plain import plain_secrets
from sipbridge.errors import SetupError

_ANY = ("0.0.0.0", "::")  # noqa: S104 (compared, not opened)
_HANDOFF_SECONDS = 30.0
CALLER = "+15550100"


@dataclass(frozen=True, slots=True)
class Given:
    """The options of the command; None for those that are not given."""

    client: str | None = None
    project: str | None = None
    number: str | None = None
    token: str | None = None
    key: str | None = None
    sip: ListenUrl | None = None
    api: str | None = None
    contact_id: str | None = None
    digits: str | None = None
    handoff_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """All that a test call needs. `key` None: no events. `simulator` None: CXone is not the simulator."""

    transport: Literal["udp", "tcp", "tls"]
    host: str
    port: int
    number: str
    headers: tuple[tuple[str, str], ...]
    contact_id: str
    events_url: str
    key: str | None
    simulator: str | None
    digits: str
    handoff_seconds: float
    tls: TlsConfig


def find_target(file: Path, config: Config, given: Given) -> Target:
    """Return the target of a call to a project. Raises `SetupError` if an option has to say more."""
    key, project = _project(config, given)
    secrets_of_file = plain_secrets(file, key)
    token = given.token or secrets_of_file.token
    if token is None and project.auth_token is not None:
        raise SetupError(f"the file has only the hash of the token of project {key.project}; give it with --token -")
    if config.sip.srtp == "mandatory":
        raise SetupError("sip.srtp is mandatory, and a test call has no SRTP; try with `srtp: optional`")
    if "PCMU" not in config.sip.codecs:
        raise SetupError("a test call has G.711 mu-law only; add PCMU to sip.codecs")
    listen = given.sip or _listen(config)
    contact_id = given.contact_id or f"test-{secrets.token_hex(6)}"
    api = given.api or f"http://{_own(config.http.listen.host)}:{_port(config.http.listen.port, '--api')}"
    issuer = config.clients[key.client].cxone.issuer
    digits = given.digits if given.digits is not None else project.handoff.dtmf_key or ""
    return Target(
        transport=cast("Literal['udp', 'tcp', 'tls']", listen.transport),
        host=_own(listen.host),
        port=_port(listen.port, "--sip"),
        number=given.number or config.clients[key.client].pseudo_numbers[0],
        headers=tuple(_headers(project, token, contact_id)),
        contact_id=contact_id,
        events_url=f"{api}/v1/{key.client}/{key.project}/events",
        key=given.key or secrets_of_file.api_key,
        simulator=issuer if is_loopback(urlsplit(issuer).hostname or "") else None,
        digits=digits,
        handoff_seconds=_handoff_seconds(given, digits),
        tls=config.sip.tls,
    )


def _project(config: Config, given: Given) -> tuple[ProjectKey, VoiceProjectConfig]:
    """Return the only voice project that fits the options. Raises `SetupError`."""
    found = [
        (key, project)
        for key, project in config.voice_projects()
        if given.client in (None, key.client) and given.project in (None, key.project)
    ]
    match found:
        case [one]:
            return one
        case []:
            raise SetupError("the file has no such voice agent; give the ids of its client and its project")
    names = ", ".join(f"--client {key.client} --project {key.project}" for key, _ in found)
    raise SetupError(f"the file has several voice agents; give one: {names}")


def _headers(project: VoiceProjectConfig, token: str | None, contact_id: str) -> list[tuple[str, str]]:
    names = project.headers
    of_token = [] if token is None else [(names.auth_token, token)]
    return [*of_token, (names.contact_id, contact_id), (names.main_contact_id, contact_id)]


def _handoff_seconds(given: Given, digits: str) -> float:
    """Return how long to wait for a handoff: without digits, only an agent that is known to start one is waited for."""
    if given.handoff_seconds is not None:
        return given.handoff_seconds
    return _HANDOFF_SECONDS if digits else 0


def _listen(config: Config) -> ListenUrl:
    """Return the address to call: UDP if the bridge listens for it, as no connection has to be made."""
    return min(config.sip.listen, key=lambda url: ("udp", "tcp", "tls").index(url.transport))


def _own(host: str) -> str:
    return "127.0.0.1" if host in _ANY else host


def _port(port: int, option: str) -> int:
    if not port:
        raise SetupError(f"the running bridge has chosen its port (0 in the file); give its address with {option}")
    return port
