"""The objects of CXone Digital as JSON: User, Message, Case, thread, custom fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.gateway.threads import Thread
from sipbridge.simulators.cxone.digital.messages import HumanAgent, Message

Json = dict[str, Any]


def timestamp(at: datetime) -> str:
    """Return a time without milliseconds."""
    return at.isoformat(timespec="seconds")


def optional_timestamp(at: datetime | None) -> str | None:
    """Return a time without milliseconds, or None."""
    return None if at is None else timestamp(at)


def a_user(agent: HumanAgent | None) -> Json | None:
    """Return a human agent as User."""
    if agent is None:
        return None
    return {
        "id": agent.id,
        "firstName": agent.first_name,
        "surname": agent.surname,
        "nickname": agent.nickname,
        "imageUrl": agent.image_url,
        "isBotUser": False,
        "isSurveyUser": False,
    }


def a_message(message: Message, thread: Thread) -> Json:
    """Return a message as Message."""
    content: Json = {"type": message.content.type, "payload": message.content.payload}
    if message.content.fallback_text is not None:
        content["fallbackText"] = message.content.fallback_text
    if message.content.postback is not None:
        content["postback"] = message.content.postback
    is_inbound = message.direction == "inbound"
    return {
        "id": message.id,
        "idOnExternalPlatform": message.external_id,
        "threadIdOnExternalPlatform": thread.external_id,
        "direction": message.direction,
        "messageContent": content,
        "createdAt": timestamp(message.at),
        "createdAtWithMilliseconds": message.at.isoformat(timespec="milliseconds"),
        "authorUser": a_user(message.author),
        "authorEndUserIdentity": an_identity(thread) if is_inbound else None,
        "attachments": [
            {"id": each.id, "friendlyName": each.name, "url": each.url, "mimeType": each.media_type}
            for each in message.attachments
        ],
        "userStatistics": {
            "seenAt": optional_timestamp(message.seen_by_agent_at),
            "readAt": optional_timestamp(message.seen_by_agent_at),
        },
        "customerStatistics": {"seenAt": optional_timestamp(message.seen_by_customer_at)},
        "hasAdditionalMessageContent": False,
    }


def an_identity(thread: Thread) -> Json:
    """Return the customer of a thread."""
    customer = thread.customer
    return {
        "idOnExternalPlatform": customer.id,
        "firstName": customer.first_name,
        "lastName": customer.last_name,
        "fullName": customer.name,
    }


def a_thread(thread: Thread) -> Json:
    """Return a thread."""
    return {
        "id": thread.id,
        "idOnExternalPlatform": thread.external_id,
        "channelId": thread.channel,
        "threadName": thread.name,
        "createdAt": timestamp(thread.created_at),
        "canAddMoreMessages": not thread.is_archived,
    }


def a_case(conversation: Conversation) -> Json:
    """Return a contact as Case."""
    return {
        "id": conversation.id,
        "threadIdOnExternalPlatform": conversation.thread_id,
        "status": conversation.status,
        "createdAt": timestamp(conversation.opened_at),
        "statusUpdatedAt": timestamp(conversation.status_at),
    }


def recovered(thread: Thread, page_size: int) -> Json:
    """Return the data of ThreadRecovered and LivechatRecovered."""
    conversation = thread.last
    messages, token = thread.newest(page_size)
    contact = None if conversation is None else a_case(conversation) | {"customFields": fields(conversation.fields)}
    return {
        "contact": contact,
        "customer": {"customFields": fields(conversation.customer_fields if conversation else {})},
        "inboxAssignee": a_user(conversation.agent if conversation else None),
        "ownerAssignee": a_user(conversation.owner if conversation else None),
        "messages": [a_message(message, thread) for message in messages],
        "messagesScrollToken": token,
        "thread": a_thread(thread),
        "contactHistory": list(thread.history),
    }


def fields(values: Mapping[str, str | None]) -> list[Json]:
    """Return custom fields as `[{ident, value}]`."""
    return [{"ident": ident, "value": value} for ident, value in values.items()]
