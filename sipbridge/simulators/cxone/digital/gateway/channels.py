"""The brand with its chat channels, and their settings (`GET /chat/1.0/brand/{b}/channel/{c}`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

BRAND_ID = 1234
_DAY_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileType(_Model):
    """A type of file that may be attached; `image/*` stands for all images."""

    mime_type: str
    description: str

    def admits(self, mime_type: str) -> bool:
        """True if a file of that type may be attached."""
        if self.mime_type.endswith("/*"):
            return mime_type.startswith(self.mime_type[:-1])
        return mime_type == self.mime_type


class Hours(_Model):
    """Daily hours in UTC; they may pass midnight."""

    opens: Annotated[str, Field(pattern=_DAY_TIME)]
    closes: Annotated[str, Field(pattern=_DAY_TIME)]

    def include(self, at: datetime) -> bool:
        """True if the channel is open at that time."""
        time = f"{at:%H:%M}"
        if self.opens <= self.closes:
            return self.opens <= time < self.closes
        return time >= self.opens or time < self.closes


class Channel(_Model):
    """A chat channel."""

    id: Annotated[str, Field(pattern=r"^chat_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    name: str = "Chat"
    is_livechat: bool = False
    secured_sessions: bool = False  # the socket needs a transactionToken of /oauth/token
    authorization: bool = False  # AuthorizeCustomer needs an authorizationCode, and gives an access token
    multiple_threads: bool = True
    queue_counting: bool = True  # livechat only: SetPositionInQueue
    attachments: bool = True
    max_file_megabytes: Annotated[int, Field(ge=1)] = 40
    file_types: tuple[FileType, ...] = (
        FileType(mime_type="image/*", description="Images"),
        FileType(mime_type="application/pdf", description="PDF documents"),
        FileType(mime_type="text/plain", description="Texts"),
    )
    online: bool = True
    agents_online: bool = True  # isAnyAgentOnlineForQueue
    hours: Hours | None = None  # offline outside of them

    def is_online(self) -> bool:
        """True if the channel is switched on and within its hours."""
        return self.online and (self.hours is None or self.hours.include(datetime.now(UTC)))

    @property
    def file_limits(self) -> dict[str, Any]:
        """The limits of attachments, as a refused upload returns them."""
        types = [{"mimeType": each.mime_type, "description": each.description} for each in self.file_types]
        return {"allowedFileSize": self.max_file_megabytes, "allowedFileTypes": types}

    def as_config(self) -> dict[str, Any]:
        """Return the configuration of the channel in CXone's form."""
        return {
            "name": self.name,
            "availability": self.as_availability(),
            "isLiveChat": self.is_livechat,
            "isAuthorizationEnabled": self.authorization,
            "preContactForm": None,
            "settings": {
                "hasMultipleThreadsPerEndUser": self.multiple_threads,
                "features": {
                    "securedSessions": self.secured_sessions,
                    "isFeatureQueueCountingEnabled": self.is_livechat and self.queue_counting,
                },
                "fileRestrictions": {**self.file_limits, "isAttachmentsEnabled": self.attachments},
            },
        }

    def as_availability(self) -> dict[str, str]:
        """Return `{status}`."""
        return {"status": "online" if self.is_online() else "offline"}


MESSAGING = Channel(id="chat_11111111-1111-4111-8111-111111111111", name="Demo messaging")
LIVECHAT = Channel(id="chat_22222222-2222-4222-8222-222222222222", name="Demo livechat", is_livechat=True)
SECURED = Channel(id="chat_33333333-3333-4333-8333-333333333333", name="Demo secured", secured_sessions=True)
DEMO_CHANNELS = (MESSAGING, LIVECHAT, SECURED)


class Channels:
    """The channels of the brand by id. A channel is replaced to change it."""

    def __init__(self, channels: tuple[Channel, ...] = DEMO_CHANNELS, *, brand_id: int = BRAND_ID) -> None:
        self.brand_id = brand_id
        self.by_id = {channel.id: channel for channel in channels}

    def find(self, brand_id: str, channel_id: str) -> Channel | None:
        """Return a channel by the ids as a URL has them."""
        return self.by_id.get(channel_id) if brand_id == str(self.brand_id) else None
