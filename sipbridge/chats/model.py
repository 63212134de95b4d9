"""The values that the modules of a chat exchange: frozen, with properties at most."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from sipbridge.errors import ChatConflict
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, NonEmpty, Record, Timestamp

MAX_TEXT_CHARACTERS = 10_000
ATTACHMENT_ID_PATTERN = r"[0-9a-f]{15}"
_ROLES = {"user": "customer", "caller": "customer", "assistant": "bot"}


def _to_role(value: object) -> object:
    return _ROLES.get(value, value) if isinstance(value, str) else value


ChatRole = Annotated[
    Literal["customer", "bot", "agent"],
    BeforeValidator(
        _to_role, json_schema_input_type=Literal["customer", "bot", "agent", "user", "caller", "assistant"]
    ),
]


class ChatTurn(BaseModel):
    """One message of the conversation before the handoff."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: ChatRole
    text: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    at: Timestamp | None = None


MAX_DETAIL_CHARACTERS = 256
MAX_URL_CHARACTERS = 4096
WEB_URL_PATTERN = r"[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f-\x9f]+"

Detail = Annotated[str, StringConstraints(max_length=MAX_DETAIL_CHARACTERS)]


class Customer(BaseModel):
    """The customer, as far as the bot knows who it is. `id` is the bot's: the same id is the same customer at CXone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Detail = ""
    first_name: Detail = ""
    last_name: Detail = ""
    email: Detail = ""
    phone: Detail = ""


class Attachment(BaseModel):
    """A file of a message. `url` is where its content is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL_CHARACTERS)]
    name: Detail = ""
    media_type: Detail = ""


class AttachmentFile(BaseModel):
    """The content of a file that the human agent sent, kept because CXone's link to it expires."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    id: Annotated[str, StringConstraints(pattern=f"^{ATTACHMENT_ID_PATTERN}$")]
    name: Detail = ""
    media_type: Detail = ""
    content: bytes = Field(repr=False)

    @classmethod
    def new(cls, name: str, media_type: str, content: bytes) -> Self:
        """Make one with an id of its own."""
        return cls(id=secrets.token_hex(8)[1:], name=name, media_type=media_type, content=content)


class HumanAgent(BaseModel):
    """A human agent at CXone. Name and picture are set only if the project shows them."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str | None = None
    avatar_url: str | None = None


class ChatState(StrEnum):
    """The state of a chat."""

    REQUESTED = "requested"
    QUEUED = "queued"
    ACTIVE = "active"
    ENDED = "ended"
    FAILED = "failed"
    TIMED_OUT = "timed_out"

    @property
    def is_final(self) -> bool:
        """True if the chat is over."""
        return self in (ChatState.ENDED, ChatState.FAILED, ChatState.TIMED_OUT)


ChatEndedBy = Literal["agent", "customer", "bot", "inactivity", "expiry", "bridge"]


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """Why a chat is over. `reason` is the word of the record, `text` what the bot gets as the reason instead of it.

    `contact_closed` is true if CXone has closed the contact itself.
    """

    state: ChatState
    by: ChatEndedBy
    reason: str
    result: Result = Result.SUCCESS
    text: str = ""
    contact_closed: bool = False


class ChatRecord(Record):
    """A chat, as it is stored and as the API shows it.

    `chat_id` is the bot's id of the conversation, unique in its project; `uid` is ours, unique everywhere. `digest` is
    that of the request, which the bot may repeat. `channel_state` is what the channel needs to go on after a restart.
    `ending` is set while CXone is notified of an end.
    """

    uid: NonEmpty
    chat_id: NonEmpty
    client: str
    project: str
    channel: str
    digest: str
    customer: Customer
    state: ChatState
    started_at: AwareDatetime
    queued_at: AwareDatetime | None = None
    active_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    ended_by: ChatEndedBy | None = None
    result: Result | None = None
    reason: str = ""
    handoff: HandoffRecord
    transcript: tuple[ChatTurn, ...] = ()
    custom_fields: dict[str, str] = Field(default_factory=dict)
    agent: HumanAgent | None = None
    ending: ChatEnd | None = None
    channel_state: dict[str, Any] = Field(default_factory=dict)

    @property
    def shared_id(self) -> str:
        """The id by which CXone and the CRM find the chat: its own id unless the bot set another."""
        return self.handoff.shared_id

    def derived_id(self, name: str) -> str:
        """Return the id that CXone gets for a part of this chat. It never changes, so a restart doubles nothing."""
        made = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=self.uid.encode(), digest_size=16).hexdigest()
        # A UUID of our own making (version 8, RFC 9562, 5.8), in a fraction of the time that one by `uuid` takes.
        return f"{made[:8]}-{made[8:12]}-8{made[13:16]}-a{made[17:20]}-{made[20:]}"

    def event_id(self, part: int | str) -> str:
        """Return the id of an event. A sequence that was never stored is used again after a crash, and so is its id."""
        return f"{self.uid}-{part}"

    def event(self, sequence: int, kind: ChatEventType, payload: dict[str, Any]) -> ChatEvent:
        """Return an event of this chat that happens now."""
        return ChatEvent(
            id=self.event_id(sequence),
            sequence=sequence,
            chat_id=self.chat_id,
            type=kind,
            at=datetime.now(UTC),
            payload=payload,
        )


def digest_of(values: object) -> str:
    """Return a digest of JSON values."""
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=12).hexdigest()


class DeliveryStatus(StrEnum):
    """The fate of a message of the bot."""

    DELIVERED = "delivered"
    FAILED = "failed"  # CXone refused it, or the chat ended before it was sent
    UNKNOWN = "unknown"  # it may have arrived, and CXone cannot be asked


class BotMessage(BaseModel):
    """A message of the customer or the bot, on its way to the human agent."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    at: AwareDatetime

    @property
    def digest(self) -> str:
        """A digest of the content: the same id with another one is another message."""
        return digest_of([self.text, *(each.model_dump() for each in self.attachments)])


def check_repeated(known: str | None, message: BotMessage) -> None:
    """Raise `ChatConflict` if the chat has a message with the same id, whose digest is `known`, and other content."""
    if known is not None and known != message.digest:
        raise ChatConflict(f"this chat has another message with the id {message.id}")


class Delivery(BaseModel):
    """The final fate of a message of the bot."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: DeliveryStatus
    reason: str = ""
    at: AwareDatetime

    def event(self) -> tuple[ChatEventType, dict[str, str]]:
        """Return the type and the payload of the event that reports it to the bot."""
        if self.status is DeliveryStatus.DELIVERED:
            return ChatEventType.MESSAGE_DELIVERED, {"id": self.id}
        return ChatEventType.MESSAGE_FAILED, {"id": self.id, "delivery": self.status.value, "reason": self.reason}


class EndRequest(BaseModel):
    """The bot's request to end the chat."""

    model_config = ConfigDict(frozen=True)

    by: Literal["bot", "customer"] = "bot"
    reason: str = ""
    at: AwareDatetime


class ChatEventType(StrEnum):
    """The events that the bot gets."""

    HANDOFF_ACCEPTED = "handoff_accepted"
    QUEUE_STATUS = "queue_status"
    AGENT_JOINED = "agent_joined"
    AGENT_TYPING = "agent_typing"
    AGENT_MESSAGE = "agent_message"
    MESSAGE_DELIVERED = "message_delivered"
    MESSAGE_FAILED = "message_failed"
    AGENT_LEFT = "agent_left"
    INACTIVITY_WARNING = "inactivity_warning"
    EXPIRY_WARNING = "expiry_warning"
    CHAT_ENDED = "chat_ended"
    HANDOFF_FAILED = "handoff_failed"
    HANDOFF_TIMEOUT = "handoff_timeout"

    @property
    def is_last(self) -> bool:
        """True if nothing follows in the chat."""
        return self in (ChatEventType.CHAT_ENDED, ChatEventType.HANDOFF_FAILED, ChatEventType.HANDOFF_TIMEOUT)


class ChatEvent(BaseModel):
    """An event for the bot. `sequence` counts from 1 without a gap; it is null for typing, which is never repeated."""

    model_config = ConfigDict(frozen=True)

    id: str
    sequence: int | None
    chat_id: str
    type: ChatEventType
    at: AwareDatetime
    payload: dict[str, Any] = Field(default_factory=dict)

    @property
    def previous(self) -> int:
        """The sequence of the event before it; 0 for the first one, and for typing."""
        return (self.sequence or 1) - 1

    def to_json(self) -> str:
        """Return the event as JSON. It is made once: the store, the webhook and each reader need it."""
        return self._json

    @cached_property
    def _json(self) -> str:
        return self.model_dump_json()
