"""Automatic human agents, for benchmarks and demonstrations: they accept, reply, and close on their own."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError, Kind, State
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.events import AssigneeChanged, Event, MessageAdded, Opened, StatusChanged
from sipbridge.simulators.cxone.digital.messages import Content

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Automatic(BaseModel):
    """The behaviour of automatic agents towards the conversations that match `channel`, `kind` and `customer`.

    Texts may contain `{text}` (the customer's), `{number}` (of the agent's message, from 1) and `{time}` (seconds
    since 1970 when it is sent).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: str | None = None
    kind: Kind | None = None
    customer: str | None = None
    agent: int | None = None  # the first human agent by default
    accept_after_seconds: Seconds | None = 0  # None: a person accepts
    greeting: str | None = None  # sent after accepting
    reply: str | None = None  # to each message of the customer; "{text}" echoes
    reply_after_seconds: Seconds = 0
    typing: bool = False  # typing events before each reply
    repeat: str | None = None  # sent every `repeat_seconds`
    repeat_seconds: Annotated[float, Field(gt=0, le=3600)] = 1
    close_after_messages: Annotated[int, Field(ge=1)] | None = None  # closes after this many messages of the agent

    def matches(self, conversation: Conversation) -> bool:
        """True if the behaviour is for this conversation."""
        return (
            self.channel in (None, conversation.channel)
            and self.kind in (None, conversation.kind)
            and self.customer in (None, conversation.customer.id)
        )


class AutomaticAgents:
    """Listens to a desk and acts by the first behaviour that matches a conversation when it opens."""

    def __init__(self, desk: Desk) -> None:
        self.behaviours: list[Automatic] = []
        self._desk = desk
        self._active: dict[str, _AutomaticAgent] = {}
        desk.listeners.append(self._observe)

    def add(self, behaviour: Automatic) -> None:
        """Add a behaviour. Raises `DeskError` if there is no such human agent."""
        self._desk.agent(behaviour.agent)
        self.behaviours.append(behaviour)

    def clear(self) -> None:
        """Remove the behaviours; no automatic agent acts any more."""
        self.behaviours.clear()
        for agent in self._active.values():
            agent.stop()
        self._active.clear()

    def _observe(self, conversation: Conversation, event: Event) -> None:
        match event:
            case Opened():
                behaviour = next((each for each in self.behaviours if each.matches(conversation)), None)
                if behaviour is not None:
                    agent = self._active[conversation.id] = _AutomaticAgent(self._desk, conversation, behaviour)
                    agent.start()
            case MessageAdded(message) if message.direction == "inbound" and conversation.id in self._active:
                self._active[conversation.id].react_to(message.content.text)
            case AssigneeChanged() if conversation.agent is not None and conversation.id in self._active:
                self._active[conversation.id].join()
            case StatusChanged() if conversation.state is State.CLOSED and conversation.id in self._active:
                self._active.pop(conversation.id).stop()
            case _:
                pass


class _AutomaticAgent:
    """The automatic agent of one conversation. It acts by timers, so that it never acts inside an event."""

    def __init__(self, desk: Desk, conversation: Conversation, behaviour: Automatic) -> None:
        self._agent = desk.agent(behaviour.agent)
        self._conversation = conversation
        self._behaviour = behaviour
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._timer_ids = itertools.count()
        self._unread: list[str] = []  # messages of the customer before the agent accepts
        self._has_joined = False
        self._sent = 0

    def start(self) -> None:
        if self._behaviour.accept_after_seconds is not None:
            self._later(self._behaviour.accept_after_seconds, lambda: self._conversation.accept(self._agent))

    def join(self) -> None:
        """Greet, and reply to what the customer wrote before."""
        if self._has_joined:
            return
        self._has_joined = True
        if self._behaviour.greeting is not None:
            self._later(0, lambda: self._say(self._behaviour.greeting, ""))
        for text in self._unread:
            self.react_to(text)
        if self._behaviour.repeat is not None:
            self._later(self._behaviour.repeat_seconds, self._repeat)

    def react_to(self, text: str) -> None:
        """Reply to a message of the customer."""
        if self._behaviour.reply is None:
            return
        if not self._has_joined:
            self._unread.append(text)
            return
        if self._behaviour.typing:
            self._later(0, lambda: self._conversation.show_agent_typing(on=True))
        self._later(self._behaviour.reply_after_seconds, lambda: self._say(self._behaviour.reply, text))

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _repeat(self) -> None:
        self._later(self._behaviour.repeat_seconds, self._repeat)
        self._say(self._behaviour.repeat, "")

    def _say(self, template: str | None, text: str) -> None:
        self._sent += 1
        said = (template or "").replace("{number}", str(self._sent)).replace("{time}", f"{time.time():.6f}")
        self._conversation.say(Content.of_text(said.replace("{text}", text)))
        if self._sent == self._behaviour.close_after_messages:
            self._conversation.set_status("closed", by="agent")

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        number = next(self._timer_ids)

        def act() -> None:
            del self._timers[number]
            try:
                action()
            except DeskError:
                return  # a person has acted first: accepted, left or closed

        self._timers[number] = asyncio.get_running_loop().call_later(seconds, act)
