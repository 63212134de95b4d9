"""The bodies and queries of DFO REST 3.0. Unknown fields are errors, which name the field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sipbridge.simulators.cxone.digital.events import STATUSES
from sipbridge.simulators.cxone.digital.messages import Attachment, Content

NonEmpty = Annotated[str, Field(min_length=1)]


def _a_time(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("has no time zone")
    return value


def _a_status(value: str) -> str:
    if value not in STATUSES:
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return value


Time = Annotated[str, AfterValidator(_a_time)]
ContactStatus = Annotated[str, AfterValidator(_a_status)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class CustomField(_Model):
    """A custom field."""

    ident: NonEmpty
    value: Annotated[str, Field(max_length=1024)] | None


class CustomFields(_Model):
    """`PUT contacts/{contact}/custom-fields`."""

    customFields: list[CustomField]  # noqa: N815 (CXone's names, here and below)

    @property
    def values(self) -> dict[str, str | None]:
        """The values by ident."""
        return {each.ident: each.value for each in self.customFields}


class ThreadReference(_Model):
    """The thread of a message."""

    idOnExternalPlatform: NonEmpty  # noqa: N815


class MessageContent(_Model):
    """The content of a message."""

    type: NonEmpty
    payload: dict[str, Any]
    fallbackText: str | None = None  # noqa: N815
    postback: str | None = None

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        text = self.payload.get("text")
        if self.type == "TEXT" and not isinstance(text, str):
            raise ValueError("payload.text must be text")
        return self

    def as_content(self) -> Content:
        """Return the content in the simulator's form."""
        return Content(self.type, self.payload, self.fallbackText, self.postback)


class EndUser(_Model):
    """The customer who wrote a message."""

    idOnExternalPlatform: NonEmpty  # noqa: N815
    firstName: str = ""  # noqa: N815
    lastName: str = ""  # noqa: N815
    nickname: str = ""
    image: str = ""


class ContactOfMessage(_Model):
    """Values for the contact that a message opens."""

    customFields: list[CustomField] = []  # noqa: N815
    status: ContactStatus | None = None
    skillId: str | int | None = None  # noqa: N815


class NewAttachment(_Model):
    """An attachment, by a link."""

    friendlyName: NonEmpty  # noqa: N815
    url: Annotated[str, Field(pattern=r"^https?://\S+$")]


class ExternalAttribute(_Model):
    """A value of the platform."""

    key: NonEmpty
    value: str


class NewMessage(_Model):
    """`POST channels/{channel}/messages`."""

    idOnExternalPlatform: NonEmpty  # noqa: N815
    direction: Literal["inbound", "outbound"]
    createdAtWithMilliseconds: Time  # noqa: N815
    thread: ThreadReference
    messageContent: MessageContent  # noqa: N815
    authorEndUserIdentity: EndUser  # noqa: N815
    url: str | None = None
    contact: ContactOfMessage = ContactOfMessage()
    attachments: list[NewAttachment] = []
    externalAttributes: list[ExternalAttribute] = []  # noqa: N815

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if not self.messageContent.payload.get("text", "any") and not self.attachments:
            raise ValueError("messageContent has no text and there is no attachment")
        return self

    def files(self) -> list[Attachment]:
        """Return the attachments in the simulator's form."""
        return [Attachment(each.url, each.friendlyName) for each in self.attachments]


class MessageStatus(_Model):
    """`PUT channels/{channel}/messages/{message}/status`."""

    status: Literal["delivered", "seen", "failed"]
    updatedAt: Time  # noqa: N815
    reason: str | None = None


class SenderAction(_Model):
    """`POST channels/{channel}/threads/{thread}/sender-actions`."""

    action: Literal["isTypingOn", "isTypingOff"]


class NewStatus(_Model):
    """`PUT contacts/{contact}/status`."""

    status: ContactStatus
