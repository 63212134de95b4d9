"""The result of a PolyAI function that hands a text chat off, read as a request for a chat.

Source: docs.poly.ai, return values of functions: `{"utterance", "handoff": {"text_chat": {"nice_integration": {…}}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from sipbridge.handoffs.json_values import without_nulls

INTEGRATION = "nice_integration"
_OWN_FIELDS = ("id", "utterance", "transcript", "customer", "data", "shared_id")


class PolyaiChatResult(BaseModel):
    """The result of a PolyAI function: `handoff.text_chat` names the integration, with the fields of a chat request."""

    id: str | None = None
    utterance: str | None = None
    handoff: dict[str, Any]


def to_chat_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the chat request. Raises `ValueError` for a shape that PolyAI does not document.

    An integration that is not NICE's stands as `channel`: it is right if a channel has that name.
    """
    handoff = without_nulls(body["handoff"])
    if not isinstance(handoff, dict):
        raise ValueError("handoff must be an object")  # noqa: TRY004 (pydantic reports a ValueError as a fault of the field)
    chat = handoff.get("text_chat")
    if not isinstance(chat, dict) or len(chat) != 1:
        raise ValueError(f"handoff.text_chat must be an object with one integration, like {INTEGRATION}")
    integration, fields = next(iter(chat.items()))
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise ValueError("the integration in handoff.text_chat must be an object")  # noqa: TRY004 (as above)
    request = {name: body[name] for name in _OWN_FIELDS if name in body}
    request["reason"] = handoff.get("reason")
    request |= fields
    if integration != INTEGRATION:
        request["channel"] = integration
    return request
