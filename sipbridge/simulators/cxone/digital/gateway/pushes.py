"""The frames to the client: pushes, replies and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.events import (
    AgentTyping,
    AssigneeChanged,
    CustomerTyping,
    Event,
    MessageAdded,
    MessagesMarked,
    Opened,
    PositionChanged,
    StatusChanged,
)
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.threads import Thread
from sipbridge.simulators.cxone.digital.gateway.wire import a_case, a_message, a_user, timestamp
from sipbridge.simulators.cxone.digital.messages import Message, new_id

Frame = dict[str, Any]


def a_push(event_object: str, event_type: str, data: Mapping[str, Any]) -> Frame:
    """Make a push."""
    now = datetime.now(UTC)
    return {
        "eventId": new_id(),
        "eventObject": event_object,
        "eventType": event_type,
        "createdAt": timestamp(now),
        "createdAtWithMilliseconds": now.isoformat(timespec="milliseconds"),
        "data": data,
    }


def a_reply(event_id: str | None, event_type: str, data: Mapping[str, Any]) -> Frame:
    """Make the reply to a frame of the client."""
    reply: Frame = {"eventId": event_id, "postback": {"eventType": event_type, "data": data}}
    if event_type == "ConsumerAuthorized":
        reply["authorizationStatus"] = "authorized"
    return reply


def an_error(event_id: str | None, code: str, message: str) -> Frame:
    """Make an error frame."""
    error = {"errorCode": code, "errorMessage": message, "transactionId": new_id()}
    return {"error": error} if event_id is None else {"eventId": event_id, "error": error}


def pushes_of(
    event: Event, conversation: Conversation, thread: Thread, channel: Channel, brand_id: int
) -> Iterator[Frame]:
    """Yield the pushes that an event of a conversation causes."""
    place: Frame = {"brand": {"id": brand_id}, "channel": {"id": channel.id}, "case": a_case(conversation)}
    match event:
        case Opened():
            yield a_push("Case", "CaseCreated", place)
        case StatusChanged():
            yield a_push("Case", "CaseStatusChanged", place)
        case AssigneeChanged():
            yield a_push("Case", "CaseInboxAssigneeChanged", place | _assignees(event, channel))
        case MessageAdded() | MessagesMarked() | AgentTyping() | CustomerTyping():
            name = {"idOnExternalPlatform": thread.external_id, "threadName": thread.name}
            yield from _pushes_of_thread(event, thread, {**place, "thread": name})
        case PositionChanged(position) if channel.is_livechat and channel.queue_counting:
            yield a_push("ChatWindow", "SetPositionInQueue", _position(position, conversation, channel))
        case _:
            pass


def _pushes_of_thread(
    event: MessageAdded | MessagesMarked | AgentTyping | CustomerTyping, thread: Thread, place: Frame
) -> Iterator[Frame]:
    match event:
        case MessageAdded(message):
            if message.author is None:
                yield a_push("Message", "MessageSent", _sent(message, thread))
            yield a_push("Message", "MessageCreated", {**place, "message": a_message(message, thread)})
        case MessagesMarked(messages, mark):
            kind = "MessageDeliveryStatusChanged" if mark == "delivered" else "MessageReadChanged"
            for each in messages:
                yield a_push("Message", kind, {**place, "message": a_message(each, thread)})
        case AgentTyping(agent, on):
            yield _typing({**place, "user": a_user(agent), "direction": "outbound"}, on=on)
        case CustomerTyping(on):  # comes back to the customer, too
            yield _typing({**place, "direction": "inbound"}, on=on)


def _typing(data: Frame, *, on: bool) -> Frame:
    return a_push("SenderAction", "SenderTypingStarted" if on else "SenderTypingEnded", data)


def _assignees(event: AssigneeChanged, channel: Channel) -> Frame:
    return {
        "inboxAssignee": a_user(event.agent),
        "previousInboxAssignee": a_user(event.previous),
        "routingQueue": None if event.agent else _queue(channel),
        "acceptRejectFlow": {"isEnabled": False, "isTransfer": event.in_transfer},
    }


def _sent(message: Message, thread: Thread) -> Frame:
    """Return the data of MessageSent: without the ids that the server makes."""
    return {
        "thread": {"idOnExternalPlatform": thread.external_id},
        "message": {
            "idOnExternalPlatform": message.external_id,
            "messageContent": {"type": message.content.type, "payload": message.content.payload},
        },
    }


def _position(position: int, conversation: Conversation, channel: Channel) -> Frame:
    return {
        "consumerContact": {"id": conversation.id, "threadIdOnExternalPlatform": conversation.thread_id},
        "positionInQueue": position,
        "routingQueue": _queue(channel),
        "isAnyAgentOnlineForQueue": channel.agents_online,
    }


def _queue(channel: Channel) -> Frame:
    return {"id": channel.id.replace("chat_", "queue_")}
