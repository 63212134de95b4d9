"""The bring-your-own channels of the simulator: their threads, and the contacts in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sipbridge.simulators.cxone.digital.byoc.caller import BoxCaller
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL, ByocChannel
from sipbridge.simulators.cxone.digital.byoc.files import Files
from sipbridge.simulators.cxone.digital.byoc.requests import NewMessage
from sipbridge.simulators.cxone.digital.byoc.settings import ByocSettings
from sipbridge.simulators.cxone.digital.byoc.throttle import Throttle
from sipbridge.simulators.cxone.digital.conversation import Conversation, State
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.events import Event, Forgotten, MessageAdded
from sipbridge.simulators.cxone.digital.messages import Customer, Message


@dataclass(slots=True)
class Thread:
    """A thread of the platform: its contacts in turn, and its messages by the platform's id."""

    contacts: list[Conversation] = field(default_factory=list)
    messages: defaultdict[str, list[tuple[Message, Conversation]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def current(self) -> Conversation | None:
        """The open contact."""
        last = self.contacts[-1] if self.contacts else None
        return last if last is not None and last.state is not State.CLOSED else None


class Byoc:
    """The state of all bring-your-own channels. Belongs to one event loop; only the caller of the boxes awaits."""

    def __init__(self, desk: Desk, announce: Callable[[str], None]) -> None:
        self.channels = {DEMO_CHANNEL.id: DEMO_CHANNEL}
        self.settings = ByocSettings()
        self.files = Files()
        self.throttle = Throttle()
        self.caller = BoxCaller(self.channels, announce, self._index)
        self._desk = desk
        self._threads: defaultdict[tuple[str, str], Thread] = defaultdict(Thread)

    def admit(self, contact_id: str) -> int | None:
        """Count a request for a contact; return None, or the seconds after which one will be admitted."""
        return self.throttle.take(contact_id, self.settings.contact_burst, self.settings.contact_per_minute)

    def thread(self, channel: str, thread_id: str) -> Thread:
        """Return a thread; one that does not exist is empty."""
        return self._threads.get((channel, thread_id)) or Thread()

    def contact(self, contact_id: str) -> Conversation | None:
        """Return a contact of any bring-your-own channel."""
        found = self._desk.get(contact_id)
        return found if found is not None and found.kind == "byoc" else None

    def contacts(self) -> list[Conversation]:
        """Return all contacts, oldest first."""
        return [each for each in self._desk.conversations() if each.kind == "byoc"]

    def find_messages(self, external_ids: Sequence[str]) -> list[tuple[Message, Conversation]]:
        """Return the messages with these ids of the platform, with their contacts."""
        return [
            found
            for thread in self._threads.values()
            for external_id in dict.fromkeys(external_ids)
            for found in thread.messages.get(external_id, ())
        ]

    def add_message(self, channel: ByocChannel, new: NewMessage) -> tuple[Message, Conversation, bool]:
        """Add a message to the open contact of its thread, or open one; return True last if it is a new message."""
        thread = self._threads[channel.id, new.thread.idOnExternalPlatform]
        known = thread.messages.get(new.idOnExternalPlatform)
        if known and self.settings.deduplicate:
            return *known[0], False
        contact = thread.current or self._open(channel, thread, new)
        message = contact.receive(
            new.messageContent.as_content(),
            external_id=new.idOnExternalPlatform,
            attachments=new.files(),
            direction=new.direction,
        )
        return message, contact, True

    def clear(self) -> None:
        """Delete the records of calls and the files. The desk deletes the contacts."""
        self.caller.log.clear()
        self.files.clear()

    def _open(self, channel: ByocChannel, thread: Thread, new: NewMessage) -> Conversation:
        author = new.authorEndUserIdentity
        contact = self._desk.open(
            "byoc",
            channel=channel.id,
            thread_id=new.thread.idOnExternalPlatform,
            customer=Customer(author.idOnExternalPlatform, author.firstName, author.lastName),
            fields={each.ident: each.value for each in new.contact.customFields},
            listener=self._observe,
        )
        thread.contacts.append(contact)
        if new.contact.status not in (None, contact.status):
            contact.set_status(str(new.contact.status), by="system")
        return contact

    def _observe(self, contact: Conversation, event: Event) -> None:
        match event:
            case MessageAdded(message) if message.author is None:
                self._index(contact, message)
            case Forgotten():
                self._threads.pop((contact.channel, contact.thread_id), None)
                self.throttle.forget(contact.id)
            case _:
                self.caller.observe(contact, event)

    def _index(self, contact: Conversation, message: Message) -> None:
        """Let a message be found by the id that the platform gave it."""
        if self._desk.get(contact.id) is not None:
            thread = self._threads[contact.channel, contact.thread_id]
            thread.messages[message.external_id].append((message, contact))
