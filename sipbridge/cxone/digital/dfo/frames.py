"""The frames of the chat gateway, without input or output: those that we send, and those that it sends.

Sources: NICE's public chat SDKs for web, Android and iOS. Their spellings differ in places; the gateway takes both.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from sipbridge.chats.model import Attachment
from sipbridge.cxone.digital.values import Json, object_of, text_of

HEARTBEAT = b'{"action":"heartbeat"}'
SDK_PLATFORM = "web"
SDK_VERSION = "3.3.0"

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Person:
    """The customer of a chat, as the gateway identifies it. Ids are lower-case UUIDs."""

    customer_id: str
    visitor_id: str
    first_name: str
    last_name: str


class FrameMaker:
    """The frames of one chat."""

    def __init__(self, brand_id: int, channel_id: str, person: Person, thread_id: str) -> None:
        identity: Json = {"idOnExternalPlatform": person.customer_id}
        if person.first_name:
            identity["firstName"] = person.first_name
        if person.last_name:
            identity["lastName"] = person.last_name
        self._common: Json = {
            "brand": {"id": brand_id},
            "channel": {"id": channel_id},
            "consumerIdentity": identity,
            "visitor": {"id": person.visitor_id},
            "destination": {"id": person.visitor_id},
            "visit": {},
        }
        self._thread: Json = {"idOnExternalPlatform": thread_id}
        self._id_prefix = str(uuid.uuid4())[:-12]
        self._frames = 0

    def authorize(self) -> tuple[str, bytes]:
        """Authorize the customer. Returns the frame's event id and the frame, as all methods do."""
        data = {
            "authorization": {"authorizationCode": None},
            "disableChannelInfo": True,
            "sdkPlatform": SDK_PLATFORM,
            "sdkVersion": SDK_VERSION,
        }
        return self._make("AuthorizeCustomer", data, action="register")

    def reconnect(self, token: str | None) -> tuple[str, bytes]:
        """Go on as the customer that was authorized before."""
        return self._make("ReconnectConsumer", {"accessToken": {"token": token}} if token else {})

    def refresh_token(self, token: str) -> tuple[str, bytes]:
        """Ask for a new token before this one expires."""
        return self._make("RefreshToken", {"accessToken": {"token": token}})

    def message(
        self,
        message_id: str,
        text: str,
        attachments: Sequence[Attachment],
        *,
        fields: Mapping[str, str],
        token: str | None,
        opens: bool,
    ) -> tuple[str, bytes]:
        """A message of the customer. The first one opens the contact, and its custom fields go with it."""
        content: Json = {"type": "TEXT", "payload": {"text": text}}
        if opens:
            content["parameters"] = {"isInitialMessage": True}
        data: Json = {
            "thread": self._thread,
            "messageContent": content,
            "idOnExternalPlatform": message_id,
            "consumer": {"customFields": []},
            "consumerContact": {"customFields": [{"ident": name, "value": value} for name, value in fields.items()]},
            "attachments": [
                {
                    "url": each.url,
                    "friendlyName": each.name,
                    **({"mimeType": each.media_type} if each.media_type else {}),
                }
                for each in attachments
            ],
            "browserFingerprint": {},
        }
        if token:
            data["accessToken"] = {"token": token}
        return self._make("SendMessage", data)

    def typing(self, *, on: bool) -> tuple[str, bytes]:
        """The customer started or stopped typing."""
        return self._make("SenderTypingStarted" if on else "SenderTypingEnded", {"thread": self._thread})

    def recover(self, *, livechat: bool) -> tuple[str, bytes]:
        """Ask for the state of the thread and its newest messages."""
        return self._make("RecoverLivechat" if livechat else "RecoverThread", {"thread": self._thread})

    def load_more(self, scroll_token: str, oldest: str) -> tuple[str, bytes]:
        """Ask for messages before those that the gateway sent last."""
        data = {"thread": self._thread, "scrollToken": scroll_token, "oldestMessageDatetime": oldest}
        return self._make("LoadMoreMessages", data)

    def authorize_url(self, path: str) -> tuple[str, bytes]:
        """Ask for a token for a GET of the REST API."""
        return self._make("GenerateAuthorizationToken", {"thread": self._thread, "url": path})

    def end_contact(self, contact_id: str) -> tuple[str, bytes]:
        """End a livechat on behalf of the customer. Messaging has no such event."""
        return self._make("EndContact", {"thread": self._thread, "contact": {"id": contact_id}})

    def _make(self, event_type: str, data: Json, action: str = "chatWindowEvent") -> tuple[str, bytes]:
        # A UUID, as the gateway wants one; its last digits count, which is cheaper than another random one.
        self._frames += 1
        event_id = f"{self._id_prefix}{self._frames:012x}"
        payload = {"eventType": event_type, **self._common, "data": data}
        return event_id, orjson.dumps({"action": action, "eventId": event_id, "payload": payload})


@dataclass(frozen=True, slots=True)
class Reply:
    """The successful reply to a request of ours."""

    event_id: str
    event_type: str
    data: Json


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error. `event_id` is empty if the gateway does not say which request it is for."""

    event_id: str
    code: str


@dataclass(frozen=True, slots=True)
class Push:
    """An event that we did not ask for."""

    event_type: str
    data: Json


@dataclass(frozen=True, slots=True)
class Pong:
    """The reply to a heartbeat."""


class BadFrame(ValueError):
    """A frame that cannot be read. The text quotes nothing of it."""


Frame = Reply | ErrorReply | Push | Pong


def _code_of(value: object) -> str:
    """Return the code of an error. Logs show it, so only a word is a code."""
    code = text_of(value)
    return code if _CODE.fullmatch(code) else "unknown"


def read_frame(payload: bytes | bytearray) -> Frame:
    """Read a frame of the gateway. Raises `BadFrame`."""
    try:
        frame = orjson.loads(payload)
    except ValueError:
        raise BadFrame("a frame is not valid JSON") from None
    return interpret(frame)


def interpret(frame: object) -> Frame:
    """Read a frame that is parsed already. Raises `BadFrame`."""
    if frame == "pong":
        return Pong()
    if not isinstance(frame, dict):
        raise BadFrame("a frame is not an object")
    event_id = text_of(frame.get("eventId"))
    error, postback = frame.get("error"), frame.get("postback")
    if isinstance(error, dict):
        return ErrorReply(event_id, _code_of(error.get("errorCode")))
    if isinstance(postback, dict):
        return Reply(event_id, text_of(postback.get("eventType")), object_of(postback.get("data")))
    if "message" in frame and "connectionId" in frame:  # an error of the gateway in front of CXone
        return ErrorReply(event_id, "gateway_error")
    event_type = text_of(frame.get("eventType"))
    if event_type:
        return Push(event_type, object_of(frame.get("data") or frame))
    if event_id:  # any frame without an error that names our request confirms it
        return Reply(event_id, "", {})
    raise BadFrame("a frame names no event")
