"""The JSON of the desk's API: queries, actions, and the form in which conversations are shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sipbridge.simulators.cxone.digital.conversation import Conversation, Kind, State
from sipbridge.simulators.cxone.digital.events import By, Mark
from sipbridge.simulators.cxone.digital.messages import Attachment, Content, HumanAgent, Message

NonEmpty = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=600)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ConversationQuery(_Model):
    """The query of `GET conversations`: filters, the number to wait for, and the time limit."""

    id: str | None = None
    kind: Kind | None = None
    channel: str | None = None
    customer: str | None = None  # idOnExternalPlatform
    thread: str | None = None  # idOnExternalPlatform
    state: State | None = None
    status: str | None = None
    agent: int | None = None
    customer_typing: bool | None = None
    contains: str | None = None  # a text in one of the messages
    newest: Annotated[int, Field(ge=1)] | None = None  # at most so many, the newest
    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Seconds = 10

    def matches(self, conversation: Conversation) -> bool:
        """True if the conversation passes the filters."""
        return self.may_match(conversation) and (
            self.state in (None, conversation.state)
            and self.status in (None, conversation.status)
            and (self.agent is None or (conversation.agent is not None and conversation.agent.id == self.agent))
            and self.customer_typing in (None, conversation.customer_is_typing)
            and (
                self.contains is None or any(self.contains in message.content.text for message in conversation.messages)
            )
        )

    def may_match(self, conversation: Conversation) -> bool:
        """True if the conversation passes the filters that do not change during its life."""
        return (
            self.id in (None, conversation.id)
            and self.kind in (None, conversation.kind)
            and self.channel in (None, conversation.channel)
            and self.customer in (None, conversation.customer.id)
            and self.thread in (None, conversation.thread_id)
        )


class MessageQuery(_Model):
    """The query of `GET conversations/{id}/messages`."""

    direction: Literal["inbound", "outbound"] | None = None
    after: str | None = None  # the id of a message
    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Seconds = 10

    def select(self, conversation: Conversation) -> list[Message]:
        """Return the messages that pass the filters, oldest first."""
        messages = conversation.messages
        start = next((index + 1 for index, message in enumerate(messages) if message.id == self.after), 0)
        return [message for message in messages[start:] if self.direction in (None, message.direction)]


class NewAgent(_Model):
    """A human agent to add, or to replace by its id."""

    id: Annotated[int, Field(ge=1)]
    first_name: str
    surname: str = ""
    nickname: str | None = None
    image_url: str = ""

    def as_agent(self) -> HumanAgent:
        """Return the human agent."""
        return HumanAgent(self.id, self.first_name, self.surname, self.nickname, self.image_url)


class Accept(_Model):
    """`accept`: the human agent, by default the first."""

    agent: int | None = None


class NewAttachment(_Model):
    """A link to a file."""

    url: NonEmpty
    name: NonEmpty = "file"
    media_type: NonEmpty = "application/octet-stream"


class NewMessage(_Model):
    """`messages`: a text, or a rich message by `type` and `payload` (as CXone sends it), and attachments."""

    text: str | None = None
    type: NonEmpty = "TEXT"
    payload: dict[str, Any] | None = None
    fallback_text: str | None = None
    attachments: list[NewAttachment] = []
    id: str | None = None  # idOnExternalPlatform
    after_close: bool = False

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if self.text is not None and self.payload is not None:
            raise ValueError("text and payload exclude each other; give one of them")
        if not self.text and self.payload is None and not self.attachments:
            raise ValueError("is empty; give text, payload or attachments")
        return self

    def content(self) -> Content:
        """Return the content of the message."""
        payload = {"text": self.text or ""} if self.payload is None else self.payload
        return Content(self.type, payload, self.fallback_text)

    def files(self) -> list[Attachment]:
        """Return the attachments of the message."""
        return [Attachment(each.url, each.name, each.media_type) for each in self.attachments]


class Typing(_Model):
    """`typing`."""

    state: Literal["started", "stopped"]


class Transfer(_Model):
    """`transfer`: to a human agent directly, or by way of the queue, where it stays for `seconds` without one.

    With `to: null`, it stays in the queue until it is accepted.
    """

    to: int | None
    via_queue: bool = False
    seconds: Seconds = 0


class Status(_Model):
    """`status`: any status of CXone; `closed` and `trashed` are the end."""

    status: NonEmpty
    by: By = "agent"


class Marked(_Model):
    """`mark`: the customer's messages were seen by the human agent, or those to the customer delivered."""

    mark: Mark


def show_agent(agent: HumanAgent | None) -> dict[str, Any] | None:
    """Return a human agent as JSON."""
    if agent is None:
        return None
    return {
        "id": agent.id,
        "name": agent.name,
        "first_name": agent.first_name,
        "surname": agent.surname,
        "nickname": agent.nickname,
        "image_url": agent.image_url,
    }


def show_message(message: Message) -> dict[str, Any]:
    """Return a message as JSON."""
    return {
        "id": message.id,
        "external_id": message.external_id,
        "direction": message.direction,
        "from": "customer" if message.direction == "inbound" else "agent" if message.author else "bot",
        "agent": message.author.id if message.author else None,
        "text": message.content.text,
        "type": message.content.type,
        "payload": message.content.payload,
        "postback": message.content.postback,
        "attachments": [
            {"url": each.url, "name": each.name, "media_type": each.media_type} for each in message.attachments
        ],
        "at": message.at,
        "delivered_at": message.delivered_at,
        "seen_by_customer_at": message.seen_by_customer_at,
        "seen_by_agent_at": message.seen_by_agent_at,
    }


def show_summary(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation without its messages as JSON."""
    return {
        "id": conversation.id,
        "kind": conversation.kind,
        "channel": conversation.channel,
        "thread": conversation.thread_id,
        "customer": {
            "id": conversation.customer.id,
            "name": conversation.customer.name,
            "first_name": conversation.customer.first_name,
            "last_name": conversation.customer.last_name,
        },
        "fields": conversation.fields,
        "customer_fields": conversation.customer_fields,
        "state": conversation.state,
        "status": conversation.status,
        "closed_by": conversation.closed_by,
        "agent": show_agent(conversation.agent),
        "position": conversation.position,
        "customer_typing": conversation.customer_is_typing,
        "agent_typing": conversation.agent_is_typing,
        "message_count": len(conversation.messages),
        "opened_at": conversation.opened_at,
        "status_at": conversation.status_at,
    }


def show_conversation(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation with its messages as JSON."""
    return show_summary(conversation) | {"messages": [show_message(message) for message in conversation.messages]}
