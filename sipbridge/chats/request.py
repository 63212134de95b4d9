"""The requests of a bot: the start of a chat, and a message."""

from __future__ import annotations

import uuid
from copy import deepcopy
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sipbridge.chats.model import (
    MAX_TEXT_CHARACTERS,
    MAX_URL_CHARACTERS,
    WEB_URL_PATTERN,
    Attachment,
    ChatTurn,
    Customer,
    digest_of,
)
from sipbridge.chats.polyai import to_chat_request
from sipbridge.handoffs.json_values import check_data, without_nulls
from sipbridge.handoffs.polyai import is_function_result
from sipbridge.handoffs.request import MAX_PARAMETER_CHARACTERS, Name, ParameterText, describe_nulls

CHAT_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}"
MAX_TURNS = 1_000
MAX_ATTACHMENTS = 10
MAX_CUSTOM_FIELDS = 100

BotId = Annotated[str, Field(pattern=f"^{CHAT_ID_PATTERN}$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class _WithNulls:
    """Describes a model as one whose fields may be null. Its description in responses stays as it is."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = deepcopy(handler.resolve_ref_schema(handler(core)))
        describe_nulls(described)
        return described


def _new_id() -> str:
    return str(uuid.uuid4())


class ChatRequest(BaseModel):
    """A request to hand a conversation to a human agent. Every field is optional, and null means not set.

    `custom_fields` win over those of the channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_nulls)

    id: BotId = Field(default_factory=_new_id)
    channel: Name | None = None
    customer: Annotated[Customer, BeforeValidator(without_nulls), _WithNulls()] = Customer()
    reason: Name | None = None
    utterance: Annotated[str, Field(max_length=MAX_PARAMETER_CHARACTERS)] = ""
    transcript: Annotated[tuple[ChatTurn, ...], Field(max_length=MAX_TURNS)] = ()
    data: Annotated[dict[str, Any], AfterValidator(check_data)] = Field(default_factory=dict)
    custom_fields: Annotated[
        dict[FieldName, ParameterText], Field(max_length=MAX_CUSTOM_FIELDS), BeforeValidator(without_nulls)
    ] = Field(default_factory=dict, json_schema_extra={"additionalProperties": False})
    shared_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: object) -> object:
        if is_function_result(body):
            body = to_chat_request(body)
        return without_nulls(body)

    @property
    def digest(self) -> str:
        """A digest of the content: the same id with another one is another conversation."""
        return digest_of(self.model_dump(mode="json"))


class AttachmentRequest(Attachment):
    """A file of a message. The human agent may get its URL as a link, so it is one of the web."""

    url: Annotated[str, Field(max_length=MAX_URL_CHARACTERS, pattern=f"^{WEB_URL_PATTERN}$")]


class MessageRequest(BaseModel):
    """A message of the customer or the bot for the human agent: a text, attachments or both."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_nulls)

    id: BotId = Field(default_factory=_new_id)
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] = ""
    attachments: Annotated[tuple[AttachmentRequest, ...], Field(max_length=MAX_ATTACHMENTS)] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: object) -> object:
        return without_nulls(body)

    @model_validator(mode="after")
    def _not_empty(self) -> MessageRequest:
        if not self.text.strip() and not self.attachments:
            raise ValueError("give a text or attachments")
        return self


class TypingRequest(BaseModel):
    """The customer started or stopped typing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["started", "stopped"]


class EndChatRequest(BaseModel):
    """The end of the chat, with the bot's reason. `by` says who wants it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_nulls)

    reason: Name = ""
    by: Literal["bot", "customer"] = "bot"

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: object) -> object:
        return without_nulls(body)
