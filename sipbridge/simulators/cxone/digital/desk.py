"""The desk: all conversations with their queue, and the human agents who take them."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError, Kind, Listener, State
from sipbridge.simulators.cxone.digital.events import (
    AssigneeChanged,
    Event,
    Forgotten,
    MessageAdded,
    Opened,
    PositionChanged,
    StatusChanged,
)
from sipbridge.simulators.cxone.digital.messages import Customer, HumanAgent
from sipbridge.simulators.cxone.digital.waiters import Waiters

DEMO_AGENTS = (
    HumanAgent(101, "Ada", "Quinn", image_url="https://example.com/ada.png"),
    HumanAgent(102, "Ben", "Okafor", nickname="Ben O."),
    HumanAgent(103, "Chloé", "Müller"),
)
MAX_CLOSED = 20_000  # closed conversations that are kept; more delete the oldest


class Desk:
    """All conversations. Nothing here awaits.

    `listeners` receive the events of all conversations, after the listeners of each; `waiters` wait for them.
    `announce` gets a line per event of a chat, without its content.
    """

    def __init__(
        self,
        agents: Sequence[HumanAgent] = DEMO_AGENTS,
        *,
        announce: Callable[[str], None] = lambda _: None,
        max_closed: int = MAX_CLOSED,
    ) -> None:
        self.agents = {agent.id: agent for agent in agents}
        self.listeners: list[Listener] = []
        self._announce = announce
        self._max_closed = max_closed
        # From the clock, as a client may keep ids over a restart of the simulator.
        self._ids = itertools.count(int(time.time() * 1000))
        self._conversations: dict[str, Conversation] = {}
        self._closed: dict[str, Conversation] = {}
        self._queues: defaultdict[str, dict[str, Conversation]] = defaultdict(dict)
        self.waiters: Waiters[Conversation, Event] = Waiters()

    def open(
        self,
        kind: Kind,
        *,
        channel: str,
        thread_id: str,
        customer: Customer,
        fields: Mapping[str, str | None] | None = None,
        customer_fields: Mapping[str, str | None] | None = None,
        listener: Listener | None = None,
    ) -> Conversation:
        """Create a conversation at the end of the queue of its channel. `listener` receives its events."""
        conversation = Conversation(
            str(next(self._ids)),
            kind=kind,
            channel=channel,
            thread_id=thread_id,
            customer=customer,
            fields=fields,
            customer_fields=customer_fields,
        )
        self._conversations[conversation.id] = conversation
        conversation.listeners += [listener] if listener is not None else []
        conversation.listeners.append(self._observe)
        conversation.emit(Opened())
        return conversation

    def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation by its id."""
        return self._conversations.get(conversation_id)

    def conversations(self) -> list[Conversation]:
        """Return all conversations, oldest first."""
        return list(self._conversations.values())

    def agent(self, agent_id: int | None) -> HumanAgent:
        """Return a human agent; without an id the first. Raises `DeskError` if there is none."""
        found = next(iter(self.agents.values()), None) if agent_id is None else self.agents.get(agent_id)
        if found is None:
            raise DeskError("there is no such human agent")
        return found

    def queue(self, channel: str) -> list[Conversation]:
        """Return the waiting conversations of a channel; the next in turn is the first."""
        return list(self._queues[channel].values())

    def clear(self) -> None:
        """Delete all conversations."""
        for conversation in self.conversations():
            self._forget(conversation)

    def _observe(self, conversation: Conversation, event: Event) -> None:
        """Listen to a conversation, after its channel."""
        line = _line(conversation, event)
        if line is not None:
            self._announce(f"chat {conversation.id}: {line}")
        if isinstance(event, Opened | AssigneeChanged | StatusChanged | Forgotten):
            self._update_queue(conversation)
        for listener in tuple(self.listeners):
            listener(conversation, event)
        self.waiters.notify(conversation, event)
        if isinstance(event, StatusChanged) and event.ends:
            self._closed[conversation.id] = conversation
            if len(self._closed) > self._max_closed:
                self._forget(next(iter(self._closed.values())))

    def _forget(self, conversation: Conversation) -> None:
        del self._conversations[conversation.id]
        self._closed.pop(conversation.id, None)
        conversation.emit(Forgotten())

    def _update_queue(self, conversation: Conversation) -> None:
        """Put a waiting conversation at the end of its queue, or take it out, and number the queue again."""
        queue = self._queues[conversation.channel]
        is_waiting = conversation.state is State.WAITING and conversation.id in self._conversations
        if is_waiting == (conversation.id in queue):
            return
        if is_waiting:
            queue[conversation.id] = conversation
        else:
            del queue[conversation.id]
            conversation.position = None
        for position, each in enumerate(queue.values(), 1):
            if each.position != position:
                each.position = position
                each.emit(PositionChanged(position))


def _line(conversation: Conversation, event: Event) -> str | None:
    """Return the line of an event: the state, not the content. Ids and names may come from a client: as `repr`."""
    match event:
        case Opened():
            return f"opened, {conversation.kind} channel {conversation.channel!r}"
        case MessageAdded(message):
            sender = "customer" if message.direction == "inbound" else "agent" if message.author else "bot"
            files = f", {len(message.attachments)} attachments" if message.attachments else ""
            return f"message of the {sender}, {len(message.content.text)} characters{files}"
        case AssigneeChanged(agent, previous):
            return f"human agent {previous.id if previous else 'none'} → {agent.id if agent else 'none'}"
        case StatusChanged(status, by):
            return f"{status}, by the {by}"
        case _:
            return None
