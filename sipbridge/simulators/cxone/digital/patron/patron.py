"""Patron chat: the points of contact, and the chats by their session ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.events import (
    AgentTyping,
    AssigneeChanged,
    Event,
    Forgotten,
    MessageAdded,
    Opened,
    StatusChanged,
)
from sipbridge.simulators.cxone.digital.messages import Customer, new_id
from sipbridge.simulators.cxone.digital.patron import wire
from sipbridge.simulators.cxone.digital.patron.chat import PatronChat
from sipbridge.simulators.cxone.digital.patron.settings import DEMO_HOURS, DEMO_POINT, PatronSettings, Point


class Patron:
    """The state of patron chat. Belongs to one event loop."""

    def __init__(self, desk: Desk) -> None:
        self.points = {DEMO_POINT.id: DEMO_POINT}
        self.hours = {DEMO_HOURS.profile_id: DEMO_HOURS}
        self.settings = PatronSettings()
        self.desk = desk
        self._chats: dict[str, PatronChat] = {}  # by contact id
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self, point: Point, parameters: Sequence[str], from_address: str) -> PatronChat:
        """Start a chat at a point of contact. The parameters become P1, P2, … of the contact."""
        if not point.open:
            chat = PatronChat(f"closed-{new_id()}", "")
            self._chats[chat.contact_id] = chat
            chat.add(wire.text(point.closed_text, "System", wire.SYSTEM))
            chat.end()
            return chat
        chat = PatronChat("", "")
        fields: dict[str, str | None] = {f"P{number}": value for number, value in enumerate(parameters, 1)}
        contact = self.desk.open(
            "patron",
            channel=point.id,
            thread_id=new_id(),
            customer=Customer(from_address or "anonymous"),
            fields=fields,
            listener=partial(self._observe, chat),
        )
        chat.contact, chat.contact_id = contact, contact.id
        self._chats[contact.id] = chat
        loop = asyncio.get_running_loop()
        self._timers[contact.id] = loop.call_later(self.settings.chat_seconds, self.expire, contact.id)
        return chat

    def find(self, session: str) -> PatronChat | None:
        """Return the chat whose newest session id this is."""
        return next((chat for chat in self._chats.values() if chat.session == session), None)

    def find_previous(self, session: str) -> PatronChat | None:
        """Return the chat whose session id this was before the newest."""
        return next((chat for chat in self._chats.values() if chat.previous == session), None)

    def expire(self, contact_id: str) -> bool:
        """End a chat as its age does; False without such a chat that goes on."""
        chat = self._chats.get(contact_id)
        if chat is None or chat.is_over or chat.contact is None:
            return False
        chat.contact.set_status("closed", by="system")
        return True

    def make_stale(self, contact_id: str) -> bool:
        """Change the session id of a chat, as if a response to the client had been lost; False without such a chat."""
        chat = self._chats.get(contact_id)
        if chat is None:
            return False
        chat.previous, chat.session, chat.batch = chat.session, new_id(), []
        return True

    def clear(self) -> None:
        """Forget the chats of closed points of contact. The desk deletes the others."""
        self._chats = {key: chat for key, chat in self._chats.items() if chat.contact is not None}

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()

    # ------------------------------------------------------------ what happens at the desk

    def _observe(self, chat: PatronChat, contact: Conversation, event: Event) -> None:
        match event:
            case Opened():
                chat.add(wire.status("Waiting"))
            case AssigneeChanged(None):
                chat.add(wire.status("Waiting"))
            case AssigneeChanged(agent) if agent is not None:
                label = wire.label_of(agent, with_id=self.settings.label_with_id)
                chat.add(wire.status("Active", label))
            case MessageAdded(message) if message.direction == "inbound":
                if self.settings.echo:
                    chat.add(wire.text(message.content.text, chat.label, wire.CUSTOMER))
            case MessageAdded(message) if message.author is not None:
                label = wire.label_of(message.author, with_id=self.settings.label_with_id)
                chat.add(wire.text(message.content.text, label, wire.AGENT))
            case AgentTyping(agent, on):
                label = wire.label_of(agent, with_id=self.settings.label_with_id)
                chat.add(wire.typing(label, on=on))
            case StatusChanged() if event.ends:
                self._end(chat, by_customer=event.by == "customer")
            case Forgotten():
                chat.end()
                self._chats.pop(contact.id, None)
                self._stop_timer(contact.id)
            case _:
                pass

    def _end(self, chat: PatronChat, *, by_customer: bool) -> None:
        if not by_customer:
            if self.settings.ended_text:
                chat.add(wire.text(wire.ENDED_TEXT, "System", wire.SYSTEM))
            if self.settings.ended_status:
                chat.add(wire.status("Disconnected"))
        chat.end()
        self._stop_timer(chat.contact_id)

    def _stop_timer(self, contact_id: str) -> None:
        timer = self._timers.pop(contact_id, None)
        if timer is not None:
            timer.cancel()
