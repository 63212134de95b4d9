"""The models of the simulator: tenants, faults, Signal parameters and transcripts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints, TypeAdapter, model_validator

MAX_BODY_BYTES = 100 * 1024 * 1024

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Endpoint(StrEnum):
    """The simulated endpoints of CXone. Each can have its own faults."""

    DISCOVERY = "discovery"  # GET /.well-known/openid-configuration
    TOKEN = "token"  # noqa: S105 (the name of an endpoint, not a secret)  POST /auth/token
    CONFIGURATION = "configuration"  # GET /.well-known/cxone-configuration
    SIGNAL = "signal"  # POST /inContactAPI/services/{version}/interactions/{contactId}/signal
    TRANSCRIPT = "transcript"  # POST /aai/tms/transcripts/post
    CHAT_CHANNEL = "chat_channel"  # GET /chat/1.0/brand/{brand}/channel/{channel}
    CHAT_AVAILABILITY = "chat_availability"  # GET /chat/1.0/brand/{brand}/channel/{channel}/availability
    CHAT_ATTACHMENT = "chat_attachment"  # POST /chat/1.0/brand/{brand}/channel/{channel}/attachment
    CHAT_MESSAGE = "chat_message"  # GET /chat/1.0/brand/{brand}/messages/{message}
    CHAT_FILE = "chat_file"  # GET /simulator/objects/{id}/{name}: an attachment, or the frame of EventInS3
    CHAT_TOKEN = "chat_token"  # noqa: S105 (the name of an endpoint, not a secret)  POST /oauth/token
    # Below /dfo/3.0:
    BYOC_MESSAGE = "byoc_message"  # POST /channels/{channel}/messages
    BYOC_MESSAGE_STATUS = "byoc_message_status"  # PUT /channels/{channel}/messages/{message}/status
    BYOC_TYPING = "byoc_typing"  # POST /channels/{channel}/threads/{thread}/sender-actions
    BYOC_SEARCH = "byoc_search"  # GET /messages
    BYOC_CONTACTS = "byoc_contacts"  # GET /contacts
    BYOC_CONTACT = "byoc_contact"  # GET /contacts/{contact}
    BYOC_CONTACT_MESSAGES = "byoc_contact_messages"  # GET /contacts/{contact}/messages
    BYOC_STATUS = "byoc_status"  # PUT /contacts/{contact}/status
    BYOC_FIELDS = "byoc_fields"  # PUT /contacts/{contact}/custom-fields
    # POST /authentication/v1/token/access-key
    PATRON_TOKEN = "patron_token"  # noqa: S105 (the name of an endpoint, not a secret)
    # Below /inContactAPI/services/{version}:
    PATRON_START = "patron_start"  # POST /contacts/chats
    PATRON_POLL = "patron_poll"  # GET /contacts/chats/{session}
    PATRON_TEXT = "patron_text"  # POST /contacts/chats/{session}/send-text
    PATRON_TYPING = "patron_typing"  # POST /contacts/chats/{session}/typing
    PATRON_END = "patron_end"  # DELETE /contacts/chats/{session}
    PATRON_SKILL = "patron_skill"  # GET /skills/{skill}/activity
    PATRON_STATES = "patron_states"  # GET /agents/states
    PATRON_HOURS = "patron_hours"  # GET /hours-of-operation


class Tenant(BaseModel):
    """A tenant of CXone and its credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: NonEmpty
    business_unit: NonEmpty
    area: NonEmpty = "na1"
    client_id: NonEmpty
    client_secret: NonEmpty
    access_key_id: NonEmpty
    access_key_secret: NonEmpty


DEMO_TENANT = Tenant(
    tenant_id="demo-tenant",
    business_unit="4599999",
    client_id="demo-client",
    client_secret="demo-secret",  # noqa: S106 (published on purpose: it is valid for the simulator only)
    access_key_id="demo-key",
    access_key_secret="demo-key-secret",  # noqa: S106 (the same)
)


class Fault(BaseModel):
    """A fault of the next `times` requests to an endpoint; `times: null` lasts until it is deleted.

    With a `status` of 300 or more, the fault responds instead of the endpoint, as a gateway would, and nothing is
    recorded. Other faults let the endpoint do its work and change the response:

    - `latency_seconds` delays it.
    - `body` replaces its body, `body_bytes` does so with padding; both are sent as `content_type`.
    - `reset` closes the TCP connection without a response; with `before`, nothing is recorded either.
    - `cut` stops in the middle of the head or the body and closes the connection after `latency_seconds`.
    - `expire_tokens` invalidates all tokens issued so far, before the request is handled.

    `contact_id` limits a fault to one contact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    retry_after: Annotated[int, Field(ge=0)] | NonEmpty | None = None
    latency_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    reset: Literal["before", "after"] | None = None
    cut: Literal["head", "body"] | None = None
    expire_tokens: bool = False
    body: str | None = None
    body_bytes: Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)] | None = None
    content_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+$")] | None = None
    times: Annotated[int, Field(ge=1)] | None = 1
    contact_id: NonEmpty | None = None

    @model_validator(mode="after")
    def _check_effects(self) -> Self:
        effects = (self.status, self.body, self.body_bytes, self.reset, self.cut)
        if not (any(effect is not None for effect in effects) or self.latency_seconds or self.expire_tokens):
            raise ValueError(
                "has no effect; set status, latency_seconds, reset, cut, expire_tokens, body or body_bytes"
            )
        if self.body is not None and self.body_bytes is not None:
            raise ValueError("body and body_bytes exclude each other; set one of them")
        if self.cut is not None and self.reset is not None:
            raise ValueError("cut and reset exclude each other; set one of them")
        if self.contact_id is not None and self.endpoint not in (Endpoint.SIGNAL, Endpoint.TRANSCRIPT):
            raise ValueError("contact_id applies to the endpoints signal and transcript only")
        return self

    @property
    def content(self) -> bytes | None:
        """The body that replaces the endpoint's, or None."""
        if self.body_bytes is not None:
            return b"x" * self.body_bytes
        return None if self.body is None else self.body.encode()


ParameterName = Literal["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]
SignalParameters = TypeAdapter(dict[ParameterName, StrictStr])


class TranscriptLine(BaseModel):
    """One utterance of a posted transcript."""

    model_config = ConfigDict(strict=True)

    participantId: Literal["Bot", "Patron"]  # noqa: N815 (CXone's names, here and below)
    messageBody: NonEmpty  # noqa: N815
    messageContentType: Literal["TRANSCRIPT"]  # noqa: N815
    utcDateTime: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$")]  # noqa: N815


class SessionDetails(BaseModel):
    """The result of the self-service session, and its transcript."""

    model_config = ConfigDict(strict=True)

    transcriptPublishSettingOption: Literal["PUBLISH_TRANSCRIPTS_ONLY"]  # noqa: N815
    sessionCompletionType: Literal["CONTAINED", "ESCALATED"]  # noqa: N815
    sessionCompletionDetails: str  # noqa: N815
    transcriptSummary: str  # noqa: N815
    transcripts: list[TranscriptLine]


class TranscriptPost(BaseModel):
    """The body of `POST /aai/tms/transcripts/post`, as public integrations send it."""

    model_config = ConfigDict(strict=True)

    vendorId: NonEmpty  # noqa: N815
    busId: NonEmpty  # noqa: N815
    virtualAgentId: str  # noqa: N815
    contactId: NonEmpty  # noqa: N815
    contactState: Literal["SELF_SERVICE"]  # noqa: N815
    mediaType: Literal["Voice"]  # noqa: N815
    selfServiceSessionDetails: SessionDetails  # noqa: N815
