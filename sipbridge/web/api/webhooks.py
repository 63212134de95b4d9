"""The requests that the bridge sends to the webhook of a project, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from sipbridge.web.api.chat_schemas import ChatEventMessage
from sipbridge.web.api.schemas import CallEventMessage

Json = dict[str, Any]

_HEADERS = {
    "X-Sipbridge-Timestamp": "The time of this attempt, in seconds since 1970.",
    "X-Sipbridge-Delivery": "The id of the event, the same in each attempt.",
    "X-Sipbridge-Signature": "sha256= and the HMAC-SHA256 of the timestamp, a full stop and the body, in hex.",
}
_RESPONSES = {
    "2XX": "The event is delivered.",
    "3XX": "The event is refused for good.",
    "4XX": "The event is refused for good; after 408 and 429 it is sent again.",
    "5XX": "The event is sent again, for 24 hours.",
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request of the bridge. `body` is that of one event."""

    name: str
    summary: str
    body: type[BaseModel]


WEBHOOKS = (
    Webhook("callEvent", "An event of a call", CallEventMessage),
    Webhook("chatEvent", "An event of a chat", ChatEventMessage),
)


def describe_webhook(webhook: Webhook, schemas: Mapping[Any, Json]) -> Json:
    """Build the description of a request."""
    schema = schemas[webhook.body, "serialization"]
    return {
        "operationId": webhook.name,
        "summary": webhook.summary,
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {status: {"description": text} for status, text in _RESPONSES.items()},
    }
