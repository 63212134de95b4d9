"""A conversation of CXone Digital, whatever its channel: messages, state and human agent.

A channel (gateway, BYOC, patron chat) reports what the customer does, and listens to the events.
The desk reports what human agents do.
Nothing here awaits, and everything belongs to one event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from sipbridge.simulators.cxone.digital.events import (
    STATUSES,
    AgentTyping,
    AssigneeChanged,
    By,
    CustomerTyping,
    Event,
    FieldsChanged,
    Mark,
    MessageAdded,
    MessagesMarked,
    StatusChanged,
)
from sipbridge.simulators.cxone.digital.messages import (
    Attachment,
    Content,
    Customer,
    Direction,
    HumanAgent,
    Message,
    new_id,
)

Kind = Literal["dfo", "byoc", "patron"]


class DeskError(Exception):
    """An action that the state of a conversation does not allow."""


class State(StrEnum):
    """The state of a conversation at the desk."""

    WAITING = "waiting"  # in the queue: without a human agent, also in mid-transfer or after one left
    ACTIVE = "active"
    CLOSED = "closed"


class Conversation:
    """One contact (case), from its first message until it is closed. `id` is the contact id.

    Made by `Desk.open`. `thread_id` is the channel's id of the thread, which may have several contacts in turn.
    Each listener gets each event, in order: the event of a listener's own action follows the one that it reacts to.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 (CXone's word)
        *,
        kind: Kind,
        channel: str,
        thread_id: str,
        customer: Customer,
        fields: Mapping[str, str | None] | None = None,
        customer_fields: Mapping[str, str | None] | None = None,
    ) -> None:
        self.id = id
        self.kind = kind
        self.channel = channel
        self.thread_id = thread_id
        self.customer = customer
        self.fields = dict(fields or {})
        self.customer_fields = dict(customer_fields or {})
        self.listeners: list[Listener] = []
        self.messages: list[Message] = []
        self.state = State.WAITING
        self.status = "new"
        self.opened_at = self.status_at = datetime.now(UTC)
        self.closed_by: By | None = None
        self.agent: HumanAgent | None = None
        self.owner: HumanAgent | None = None  # the last human agent, kept in mid-transfer and after the end
        self.position: int | None = None
        self.customer_is_typing = False
        self.agent_is_typing = False
        self._events: deque[Event] = deque()
        self._is_emitting = False

    def emit(self, event: Event) -> None:
        """Send an event to the listeners, behind those that are being sent."""
        self._events.append(event)
        if self._is_emitting:
            return
        self._is_emitting = True
        try:
            while self._events:
                each = self._events.popleft()
                for listener in tuple(self.listeners):
                    listener(self, each)
        finally:
            self._is_emitting = False

    # The actions of the customer and of the brand's bot, which the channels report.

    def receive(
        self,
        content: Content,
        *,
        external_id: str | None = None,
        attachments: Sequence[Attachment] = (),
        direction: Direction = "inbound",
    ) -> Message:
        """Add a message of the customer, or (`outbound`) of the brand's bot."""
        self.require_open()
        if direction == "inbound":
            self.show_customer_typing(on=False)
        return self._add(direction, content, attachments, external_id)

    def show_customer_typing(self, *, on: bool) -> None:
        """Show that the customer began or stopped typing."""
        if on != self.customer_is_typing:
            self.customer_is_typing = on
            self.emit(CustomerTyping(on))

    def set_fields(
        self,
        fields: Mapping[str, str | None] | None = None,
        customer_fields: Mapping[str, str | None] | None = None,
    ) -> None:
        """Set custom fields of the contact and of the customer."""
        if fields or customer_fields:
            self.fields |= fields or {}
            self.customer_fields |= customer_fields or {}
            self.emit(FieldsChanged())

    def mark(self, messages: Sequence[Message], mark: Mark) -> None:
        """Record that messages were delivered or seen, each once."""
        name = f"{mark}_at"
        changed = tuple(message for message in messages if getattr(message, name) is None)
        for message in changed:
            setattr(message, name, datetime.now(UTC))
        if changed:
            self.emit(MessagesMarked(changed, mark))

    # The actions of human agents, which the desk reports.

    def accept(self, agent: HumanAgent) -> None:
        """Take the conversation from the queue."""
        self.require_open()
        if self.agent is not None:
            raise DeskError(f"{self.agent.name} has the conversation already")
        if self.status == "new":
            self.set_status("open", by="agent")
        self._assign(agent)

    def say(
        self,
        content: Content,
        *,
        attachments: Sequence[Attachment] = (),
        external_id: str | None = None,
        after_close: bool = False,
        author: HumanAgent | None = None,
    ) -> Message:
        """Send a message of the human agent, or of another one, as a supervisor, who does not take the conversation.

        `after_close` allows one in a closed conversation.
        """
        if not (after_close and self.state is State.CLOSED):
            self.require_agent()
        self.show_agent_typing(on=False)
        return self._add("outbound", content, attachments, external_id, author=author or self.owner)

    def show_agent_typing(self, *, on: bool) -> None:
        """Show that the human agent began or stopped typing."""
        if on:
            self.require_agent()
        if self.agent is not None and on != self.agent_is_typing:
            self.agent_is_typing = on
            self.emit(AgentTyping(self.agent, on))

    def transfer(self, agent: HumanAgent) -> None:
        """Give the conversation to another human agent directly."""
        if self.require_agent().id == agent.id:
            raise DeskError(f"{agent.name} has the conversation already")
        self._assign(agent, in_transfer=True)

    def leave(self, *, in_transfer: bool = False) -> None:
        """Put the conversation back into the queue; with `in_transfer` as the first half of a transfer."""
        self.require_agent()
        self._assign(None, in_transfer=in_transfer)

    def set_status(self, status: str, *, by: By) -> None:
        """Set the status of the contact; `closed` and `trashed` end it and clear its custom fields."""
        self.require_open()
        if status not in STATUSES:
            raise DeskError(f"the status must be one of {', '.join(STATUSES)}")
        if status == self.status:
            return
        event = StatusChanged(status, by)
        if event.ends:
            self.show_agent_typing(on=False)
            self.show_customer_typing(on=False)
            self.state, self.agent, self.closed_by = State.CLOSED, None, by
            self.fields.clear()
        self.status, self.status_at = status, datetime.now(UTC)
        self.emit(event)

    def require_open(self) -> None:
        """Raise `DeskError` if the conversation is closed."""
        if self.state is State.CLOSED:
            raise DeskError("the conversation is closed")

    def require_agent(self) -> HumanAgent:
        """Return the human agent; raise `DeskError` if there is none."""
        self.require_open()
        if self.agent is None:
            raise DeskError("the conversation has no human agent; accept it first")
        return self.agent

    def _assign(self, agent: HumanAgent | None, *, in_transfer: bool = False) -> None:
        self.show_agent_typing(on=False)
        previous, self.agent = self.agent, agent
        self.owner = agent or previous
        self.state = State.WAITING if agent is None else State.ACTIVE
        self.emit(AssigneeChanged(agent, previous, in_transfer))

    def _add(
        self,
        direction: Direction,
        content: Content,
        attachments: Sequence[Attachment],
        external_id: str | None,
        *,
        author: HumanAgent | None = None,
    ) -> Message:
        message = Message(
            id=new_id(),
            external_id=external_id or new_id(),
            direction=direction,
            content=content,
            attachments=tuple(attachments),
            author=author,
            at=datetime.now(UTC),
        )
        self.messages.append(message)
        self.emit(MessageAdded(message))
        return message


Listener = Callable[[Conversation, Event], None]
