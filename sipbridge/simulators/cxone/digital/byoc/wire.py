"""The objects of DFO REST 3.0 as JSON: Message, Contact, and lists in pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.gateway.wire import a_user, fields, timestamp
from sipbridge.simulators.cxone.digital.messages import Message

Json = dict[str, Any]
T = TypeVar("T")


def a_message(message: Message, conversation: Conversation) -> Json:
    """Return a message as Message."""
    is_inbound = message.direction == "inbound"
    return {
        "id": message.id,
        "idOnExternalPlatform": message.external_id,
        "contactNumber": conversation.id,
        "threadIdOnExternalPlatform": conversation.thread_id,
        "direction": message.direction,
        "messageContent": content_of(message),
        "createdAt": timestamp(message.at),
        "createdAtWithMilliseconds": message.at.isoformat(timespec="milliseconds"),
        "authorUser": a_user(message.author),
        "authorEndUserIdentity": an_end_user(conversation) if is_inbound else None,
        "attachments": attachments_of(message),
    }


def content_of(message: Message) -> Json:
    """Return the content of a message."""
    content: Json = {"type": message.content.type, "payload": message.content.payload}
    if message.content.fallback_text is not None:
        content["fallbackText"] = message.content.fallback_text
    if message.content.postback is not None:
        content["postback"] = message.content.postback
    return content


def attachments_of(message: Message) -> list[Json]:
    """Return the attachments of a message."""
    return [
        {"id": each.id, "friendlyName": each.name, "url": each.url, "mimeType": each.media_type}
        for each in message.attachments
    ]


def an_end_user(conversation: Conversation) -> Json:
    """Return the customer of a conversation."""
    customer = conversation.customer
    return {
        "idOnExternalPlatform": customer.id,
        "firstName": customer.first_name,
        "lastName": customer.last_name,
        "fullName": customer.name,
    }


def a_contact(conversation: Conversation) -> Json:
    """Return a conversation as Contact."""
    return {
        "id": conversation.id,
        "threadIdOnExternalPlatform": conversation.thread_id,
        "channelId": conversation.channel,
        "status": conversation.status,
        "createdAt": timestamp(conversation.opened_at),
        "statusUpdatedAt": timestamp(conversation.status_at),
        "inboxAssignee": conversation.agent and conversation.agent.id,
        "inboxAssigneeUser": a_user(conversation.agent),
        "ownerAssignee": conversation.owner and conversation.owner.id,
        "ownerAssigneeUser": a_user(conversation.owner),
        "endUser": an_end_user(conversation),
        "customFields": fields(conversation.fields),
    }


def a_page(found: Sequence[T], token: str | None, size: int, show: Callable[[T], Json]) -> Json:
    """Return the page of a list that a scrollToken names, the first without one. Raises `ValueError`."""
    start = 0 if token is None else int(token.removeprefix("from-"))
    end = start + size
    return {
        "hits": len(found),
        "data": [show(each) for each in found[start:end]],
        "scrollToken": f"from-{end}" if end < len(found) else "",
    }
