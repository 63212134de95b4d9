"""`agent`: the program that talks to the caller."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from sipbridge.config.fields import (
    DigestUser,
    HttpHeaders,
    Line,
    Name,
    Network,
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
    """Plays a recording, then hands off or hangs up; with no recording at once."""

    type: Literal["prompt"]
    audio: ReadableFile | None = None
    then: Literal["handoff", "hangup"] = "handoff"
    destination: Name | None = None
    reason: Line = ""


class SipAgentConfig(Section):
    """Takes calls on a SIP URI; of several, the next is tried where one is not reached.

    `transport` is None where the URI says it. Silence is no RTP from an agent that is not on hold. `username` and
    `password` answer its challenges (RFC 3261, 22); `load_config` has seen to it that there are both or none.
    Besides the agent's addresses, `trusted_sources` may send requests within its calls.
    """

    type: Literal["sip"]
    uri: SipUris
    headers: SipHeaders = Field(default={}, repr=False)
    answer_timeout_seconds: Seconds = 10
    transport: Literal["udp", "tcp", "tls"] | None = None
    username: DigestUser | None = None
    password: Secret | None = None
    trusted_sources: tuple[Network, ...] = ()
    silence_timeout_seconds: Seconds | None = 60


class WebsocketAgentConfig(Section):
    """Speaks Twilio Media Streams; `headers` go with the HTTP upgrade, `parameters` into `customParameters`.

    `signature_token` signs the upgrade as Twilio does (`X-Twilio-Signature`), None for no signature.

    `ca_file` is the authority that a `wss` agent's certificate is checked against, None for those of the system.
    Silence is no message from the agent and nothing queued to be played.
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
            raise ValueError(f"writes {SIGNATURE_HEADER}, which agent.headers has too; give one of them")
        return value


AgentConfig = Annotated[PromptAgentConfig | SipAgentConfig | WebsocketAgentConfig, Field(discriminator="type")]
