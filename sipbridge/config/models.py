"""The configuration as `load_config` returns it. Attribute names are the keys of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, StringConstraints, ValidationInfo, field_validator

from sipbridge.config.addresses import HostPort, ListenUrl
from sipbridge.config.fields import (
    Count,
    FrameSource,
    HttpUrl,
    Identifier,
    Ipv4Host,
    Line,
    Network,
    Origin,
    Port,
    ReadableFile,
    SecondsOrZero,
    Secret,
    Section,
    SipProxy,
    WholeSeconds,
)
from sipbridge.config.pop_page import PopPageConfig
from sipbridge.config.projects import AnyProjectConfig, ProjectConfig, ProjectKey, VoiceProjectConfig
from sipbridge.config.store import NodeConfig, StoreConfig
from sipbridge.config.tokens import ApiKey
from sipbridge.telephony.numbers import number_key
from sipbridge.telephony.sip_uri import SrtpUse

PseudoNumber = Annotated[str, StringConstraints(pattern=r"^[+0-9 .()\[\]-]*[0-9][+0-9 .()\[\]-]*$", max_length=64)]

REMARKS = "remarks"  # key of pydantic's validation context: the `Remarks` about the file


@dataclass(frozen=True, slots=True)
class Remarks:
    """The facts about a file that its values do not show.

    `warnings` have the form of those of `find_warnings`. `lines` holds the line of each key, by its dotted path.
    """

    warnings: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)

    def line_of(self, warning: str) -> int | None:
        """Return the line of the key that a warning begins with; None if the key is not in the file."""
        key = warning.partition(": ")[0]
        return self.lines.get(key)


class TlsConfig(Section):
    """`sip.tls`: our certificate, and the authorities that we trust."""

    certificate_file: ReadableFile | None = None
    private_key_file: ReadableFile | None = None
    ca_file: ReadableFile | None = None
    require_client_certificate: bool = False

    @field_validator("require_client_certificate")
    @classmethod
    def _needs_ca(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 (pydantic calls it)
        if value and info.data.get("ca_file", ...) is None:
            raise ValueError("needs an authority that certificates are checked against; give sip.tls.ca_file")
        return value


class SipConfig(Section):
    """`sip`: the trunk. Calls of our own go through `outbound_proxy`; None sends them to the URI that is called."""

    listen: Annotated[tuple[ListenUrl, ...], Field(min_length=1)] = (
        ListenUrl("udp://0.0.0.0:5060"),
        ListenUrl("tcp://0.0.0.0:5060"),
    )
    public_address: Ipv4Host | None = None
    outbound_proxy: SipProxy | None = None
    rtp_ports: tuple[Port, Port] = (20000, 29999)
    codecs: Annotated[tuple[Literal["PCMU", "PCMA", "G722"], ...], Field(min_length=1)] = ("PCMU", "PCMA")
    srtp: SrtpUse = "disabled"
    tls: TlsConfig = TlsConfig()
    trusted_sources: Annotated[tuple[Network, ...], Field(min_length=1)] = (IPv4Network("127.0.0.0/8"),)
    max_calls: Count = 500
    max_calls_per_second: Count = 200

    @field_validator("rtp_ports")
    @classmethod
    def _even_range(cls, value: tuple[int, int]) -> tuple[int, int]:
        # RTP takes the even port and RTCP the odd one above it (RFC 3550, 11).
        first, last = value
        if first > last or first % 2 or not last % 2:
            raise ValueError(
                "is not a valid range of port pairs; give an even first and a higher odd last port, like [20000, 29999]"
            )
        return value

    @field_validator("codecs", "listen")
    @classmethod
    def _no_repetition(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        fixed = [entry for entry in value if not entry.endswith(":0")]
        if len(fixed) != len(set(fixed)):
            raise ValueError("has an entry twice; give each once")
        return value


class AdminConfig(Section):
    """`http.admin`: access to drain, reload and status. None without keys. `listen` None uses `http.listen`."""

    keys: tuple[ApiKey, ...] = ()
    listen: HostPort | None = None

    @field_validator("listen")
    @classmethod
    def _needs_keys(cls, value: HostPort | None, info: ValidationInfo) -> HostPort | None:
        if value and not info.data.get("keys", ...):
            raise ValueError("has no effect without keys; give http.admin.keys")
        return value


class HttpConfig(Section):
    """`http`: the API, its links and its pages. The rate is per key.

    `allowed_origins` are the origins of web pages that may call the API; `*` is any.
    """

    listen: HostPort = HostPort("127.0.0.1:8080")
    public_url: HttpUrl = "http://127.0.0.1:8080"
    frame_ancestors: tuple[FrameSource, ...] = (
        "'self'",
        "https://*.niceincontact.com",
        "https://*.nice-incontact.com",
        "https://*.nicecxone.com",
    )
    allowed_origins: tuple[Origin, ...] = ()
    pop_link_secret: Annotated[Secret, Field(min_length=16)] | None = None
    pop_link_seconds: WholeSeconds = 3600
    pop_page: PopPageConfig = PopPageConfig()
    max_requests_per_second: Count = 200
    admin: AdminConfig = AdminConfig()

    @field_validator("admin")
    @classmethod
    def _listens_elsewhere(cls, value: AdminConfig, info: ValidationInfo) -> AdminConfig:
        if value.listen and not value.listen.endswith(":0") and value.listen == info.data.get("listen"):
            raise ValueError("has the address of http.listen; give another to http.admin.listen, or null")
        return value


class CxoneConfig(Section):
    """`cxone`: the client's tenant. `api_url` None discovers it."""

    issuer: HttpUrl = "https://cxone.niceincontact.com"
    api_url: HttpUrl | None = None
    api_version: Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,3}\.[0-9]{1,3}$")] = "v30.0"
    client_id: Annotated[Line, StringConstraints(min_length=1)]
    client_secret: Secret
    access_key_id: Annotated[Line, StringConstraints(min_length=1)]
    access_key_secret: Secret
    parameters_in: Literal["body", "query"] = "body"
    business_unit: Line = ""


class ClientConfig(Section):
    """One CXone business unit: its numbers, its tenant, its projects.

    `load_config` ensures that a client with a voice agent has a number.
    """

    pseudo_numbers: tuple[PseudoNumber, ...] = ()
    cxone: CxoneConfig
    projects: dict[Identifier, AnyProjectConfig] = Field(min_length=1)

    @property
    def voice_projects(self) -> Mapping[str, VoiceProjectConfig]:
        """The projects with a voice agent, by their ids."""
        return {key: project for key, project in self.projects.items() if isinstance(project, VoiceProjectConfig)}


class TelemetryConfig(Section):
    """`telemetry`: traces. `otlp_endpoint` is the base URL of an OpenTelemetry collector; None makes no traces."""

    otlp_endpoint: HttpUrl | None = None

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_a_base(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value and value.endswith("/v1/traces"):
            raise ValueError("is the URL for traces; write it without /v1/traces, which the bridge appends")
        return value

    @property
    def traces(self) -> bool:
        """True if there are traces, so that peers get their ids."""
        return self.otlp_endpoint is not None


class Config(Section):
    """The whole file. Only `load_config` checks the rules that span several keys (numbers, tokens, destinations)."""

    sip: SipConfig = SipConfig()
    http: HttpConfig = HttpConfig()
    store: StoreConfig = StoreConfig()
    node: NodeConfig = NodeConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    drain_seconds: SecondsOrZero = 30
    max_chats: Count = 2000
    clients: dict[Identifier, ClientConfig] = Field(min_length=1)
    _remarks: Remarks = PrivateAttr(default_factory=Remarks)

    def model_post_init(self, context: Mapping[str, object] | None, /) -> None:
        """Keep the remarks about the file."""
        remarks = (context or {}).get(REMARKS)
        if isinstance(remarks, Remarks):
            self._remarks = remarks

    @property
    def remarks(self) -> Remarks:
        """The remarks about the file that this was read from."""
        return self._remarks

    def client_of(self, number: str) -> tuple[str, ClientConfig] | None:
        """Return the client that a number belongs to, with its id; the separators of the number do not matter."""
        return self._clients_by_number.get(number_key(number))

    def find_project(self, client: str, project: str) -> ProjectConfig | None:
        """Return a project by the ids of its client and its own; None if there is no such project."""
        found = self.clients.get(client)
        return found.projects.get(project) if found else None

    def find_voice_project(self, client: str, project: str) -> VoiceProjectConfig | None:
        """Return a project as `find_project` does; None also if it has no voice agent."""
        found = self.find_project(client, project)
        return found if isinstance(found, VoiceProjectConfig) else None

    def all_projects(self) -> Iterator[tuple[ProjectKey, ProjectConfig]]:
        """Yield all projects, in the order of the file."""
        for client_id, client in self.clients.items():
            for project_id, project in client.projects.items():
                yield ProjectKey(client_id, project_id), project

    def voice_projects(self) -> Iterator[tuple[ProjectKey, VoiceProjectConfig]]:
        """Yield the projects with a voice agent, in the order of the file."""
        for key, project in self.all_projects():
            if isinstance(project, VoiceProjectConfig):
                yield key, project

    @cached_property
    def routing_headers(self) -> frozenset[str]:
        """Lower-case names of the headers that carry a token or the contact id, in any project."""
        return frozenset(
            name.lower()
            for _, project in self.voice_projects()
            for name in (project.headers.auth_token, project.headers.contact_id)
        )

    @cached_property
    def _clients_by_number(self) -> Mapping[str, tuple[str, ClientConfig]]:
        return {
            number_key(number): (client_id, client)
            for client_id, client in self.clients.items()
            for number in client.pseudo_numbers
        }
