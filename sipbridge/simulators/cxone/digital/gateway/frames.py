"""The frames of the client: read and checked by hand, as a benchmark sends many."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sipbridge.simulators.cxone.digital.messages import Attachment, Content, Customer

MAX_FIELD_CHARACTERS = 1024

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ACTIONS = frozenset({"register", "chatWindowEvent", "heartbeat"})

Json = Mapping[str, Any]


class NotJson(Exception):
    """A frame that is not a JSON object. API Gateway rejects it before CXone sees it."""


class FrameError(Exception):
    """A frame that CXone rejects: its error code and a description."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Malformed(FrameError):
    """A frame with a missing or wrong field."""

    def __init__(self, message: str) -> None:
        super().__init__("InconsistentData", message)


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """The envelope of a frame. `body` is the whole frame."""

    action: str
    event_id: str | None
    event_type: str
    body: Json

    @property
    def payload(self) -> Json:
        """The payload."""
        return an_object(self.body, "payload")

    @property
    def data(self) -> Json:
        """The data of the event."""
        return an_object(self.payload, "data")


def read_frame(text: str | bytes) -> ClientFrame:
    """Read the envelope. Raises `NotJson`. What is missing is found by `check_frame`, which can name the event."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise NotJson from None
    if not isinstance(body, dict):
        raise NotJson
    action, event_id, payload = body.get("action"), body.get("eventId"), body.get("payload")
    event_type = payload.get("eventType") if isinstance(payload, dict) else None
    return ClientFrame(
        action=action if isinstance(action, str) else "",
        event_id=event_id if isinstance(event_id, str) else None,
        event_type=event_type if isinstance(event_type, str) else "",
        body=body,
    )


def check_frame(frame: ClientFrame, brand_id: int, channel_id: str) -> Customer:
    """Check the envelope and return the identity of the customer. Raises `Malformed`."""
    if frame.action not in _ACTIONS:
        raise Malformed("action must be register, heartbeat or chatWindowEvent")
    if frame.event_id is None or not _UUID.fullmatch(frame.event_id):
        raise Malformed("eventId must be a lower-case UUID")
    payload = frame.payload
    if not frame.event_type:
        raise Malformed("payload.eventType is missing")
    if (frame.action == "register") != (frame.event_type == "AuthorizeCustomer"):
        raise Malformed("action must be register for AuthorizeCustomer, and only for it")
    if an_object(payload, "brand").get("id") != brand_id:
        raise Malformed("payload.brand.id is not the brand of the connection")
    if an_object(payload, "channel").get("id") != channel_id:
        raise Malformed("payload.channel.id is not the channel of the connection")
    for name in ("visitor", "destination", "visit"):
        if not isinstance(payload.get(name, {}), dict | None):
            raise Malformed(f"payload.{name} must be an object")
    an_object(payload, "data")
    identity = an_object(payload, "consumerIdentity", "customerIdentity")
    return read_customer(identity)


def read_customer(identity: Json) -> Customer:
    """Read `{idOnExternalPlatform, firstName?, lastName?}`."""
    return Customer(
        a_text(identity, "idOnExternalPlatform"),
        optional_text(identity, "firstName") or "",
        optional_text(identity, "lastName") or "",
    )


def an_object(parent: Json, *names: str) -> Json:
    """Return the object under the first of the names that is present (web's and mobile's spelling)."""
    for name in names:
        if name in parent:
            found = parent[name]
            if not isinstance(found, dict):
                raise Malformed(f"{name} must be an object")
            return found
    raise Malformed(f"{' or '.join(names)} is missing")


def optional_object(parent: Json, *names: str) -> Json | None:
    """Return the object, or None if it is missing or null."""
    present = [name for name in names if parent.get(name) is not None]
    return an_object(parent, *present) if present else None


def a_text(parent: Json, name: str) -> str:
    """Return a text that is not empty."""
    found = parent.get(name)
    if not isinstance(found, str) or not found:
        raise Malformed(f"{name} must be a text that is not empty")
    return found


def optional_text(parent: Json, name: str) -> str | None:
    """Return a text, or None if it is missing or null."""
    found = parent.get(name)
    if found is not None and not isinstance(found, str):
        raise Malformed(f"{name} must be a text")
    return found


def a_uuid(parent: Json, name: str = "idOnExternalPlatform") -> str:
    """Return a lower-case UUID."""
    found = parent.get(name)
    if not isinstance(found, str) or not _UUID.fullmatch(found):
        raise Malformed(f"{name} must be a lower-case UUID")
    return found


def thread_id(data: Json) -> str:
    """Return the id of `thread`."""
    return a_uuid(an_object(data, "thread"))


def custom_fields(holder: Json) -> dict[str, str | None]:
    """Read `customFields`: `[{ident, value}]`, values of at most 1,024 characters."""
    listed = holder.get("customFields")
    if not isinstance(listed, list):
        raise Malformed("customFields must be a list")
    found: dict[str, str | None] = {}
    for each in listed:
        if not isinstance(each, dict):
            raise Malformed("customFields must be a list of objects")
        ident, value = a_text(each, "ident"), optional_text(each, "value")
        if value is not None and len(value) > MAX_FIELD_CHARACTERS:
            raise Malformed(f"the value of a custom field must have at most {MAX_FIELD_CHARACTERS} characters")
        found[ident] = value
    return found


def message_content(data: Json, *, has_attachments: bool) -> Content:
    """Read `messageContent`: TEXT with a text, or the POSTBACK of a button. A text may be empty beside attachments."""
    content = an_object(data, "messageContent")
    kind, payload = a_text(content, "type"), an_object(content, "payload")
    if kind not in ("TEXT", "POSTBACK"):
        raise Malformed("messageContent.type must be TEXT or POSTBACK")
    text = payload.get("text")
    if not isinstance(text, str) or not (text or has_attachments):
        raise Malformed("messageContent.payload.text must be a text that is not empty")
    optional_object(content, "parameters")
    postback = optional_text(payload, "postback") or optional_text(content, "postback")
    return Content(kind, payload, postback=postback)


def attachments(data: Json) -> list[Attachment]:
    """Read `attachments`: `[{url, friendlyName, mimeType?}]`. The list is required and may be empty."""
    listed = data.get("attachments")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise Malformed("attachments must be a list of objects")
    return [
        Attachment(
            a_text(each, "url"),
            a_text(each, "friendlyName"),
            optional_text(each, "mimeType") or "application/octet-stream",
        )
        for each in listed
    ]
