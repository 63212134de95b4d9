"""`agent`: the voice AI program that talks to the caller."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from sipbridge.config.credentials import CalleeConfig
from sipbridge.config.fields import (
    HttpHeaders,
    Line,
    Name,
    ReadableFile,
    Seconds,
    Secret,
    Section,
    SipHeaders,
    SipUris,
    WebsocketUrl,
)

SIGNATURE_HEADER = "X-Twilio-Signature"


class PromptAgentConfig(Section):
    """An agent that plays a recording, if there is one, and then hands off or hangs up."""

    type: Literal["prompt"]
    audio: ReadableFile | None = None
    then: Literal["handoff", "hangup"] = "handoff"
    destination: Name | None = None
    reason: Line = ""


class SipAgentConfig(CalleeConfig):
    """An agent that takes calls on a SIP URI. If one of several URIs is not reached, the next one is tried.

    `transport` applies to URIs that name none; None leaves the choice to DNS. An agent is silent if it sends no RTP and
    is not on hold. `username` and `password` answer its challenges (RFC 3261, 22); `load_config` ensures that there are
    both or neither. Besides the agent's addresses, `trusted_sources` may send requests within its calls.
    """

    type: Literal["sip"]
    uri: SipUris
    headers: SipHeaders = Field(default={}, repr=False)
    answer_timeout_seconds: Seconds = 10
    transport: Literal["udp", "tcp", "tls"] | None = None
    silence_timeout_seconds: Seconds | None = 60


class WebsocketAgentConfig(Section):
    """An agent that speaks Twilio Media Streams over a WebSocket.

    `headers` are sent with the HTTP upgrade, `parameters` in `customParameters`. `signature_token` signs the upgrade as
    Twilio does (`X-Twilio-Signature`); None sends no signature. `ca_file` holds the authority that the certificate of a
    `wss` agent is checked against; None uses those of the system. An agent is silent if it sends no message while
    nothing that it sent is still queued for playing.
    """

    type: Literal["websocket"]
    url: WebsocketUrl = Field(repr=False)
    headers: HttpHeaders = Field(default={}, repr=False)
    signature_token: Secret | None = None
    connect_timeout_seconds: Seconds = 5
    parameters: dict[Name, str] = Field(default={}, repr=False)
    ca_file: ReadableFile | None = None
    silence_timeout_seconds: Seconds | None = 60

    @field_validator("signature_token")
    @classmethod
    def _one_signature(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and SIGNATURE_HEADER.lower() in map(str.lower, info.data.get("headers", {})):
            raise ValueError(f"sets {SIGNATURE_HEADER}, which is in agent.headers too; keep one of them")
        return value


AgentConfig = Annotated[PromptAgentConfig | SipAgentConfig | WebsocketAgentConfig, Field(discriminator="type")]
