"""The chat gateway: its threads, connections and settings, and the pushes that the events of the desk cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.events import Event, Forgotten, MessageAdded, Opened
from sipbridge.simulators.cxone.digital.gateway.channels import Channels
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFaults
from sipbridge.simulators.cxone.digital.gateway.frame_log import FrameLog
from sipbridge.simulators.cxone.digital.gateway.objects import Objects
from sipbridge.simulators.cxone.digital.gateway.pushes import pushes_of
from sipbridge.simulators.cxone.digital.gateway.settings import Settings
from sipbridge.simulators.cxone.digital.gateway.threads import Thread, Threads
from sipbridge.simulators.cxone.digital.gateway.tokens import Tokens
from sipbridge.simulators.cxone.digital.messages import Customer


class Gateway:
    """The state of the gateway. Belongs to one event loop; nothing here awaits."""

    def __init__(self, desk: Desk, announce: Callable[[str], None]) -> None:
        self.announce = announce
        self.channels = Channels()
        self.settings = Settings()
        self.tokens = Tokens()
        self.threads = Threads()
        self.faults = GatewayFaults()
        self.objects = Objects()
        self.log = FrameLog()
        self.known_customers: set[tuple[str, str]] = set()  # by channel and id: those that were authorized
        self._desk = desk
        self._connections: defaultdict[tuple[str, str], set[Connection]] = defaultdict(set)

    def add(self, connection: Connection) -> None:
        """Add an open connection."""
        self._connections[connection.channel_id, connection.customer.id].add(connection)

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        key = connection.channel_id, connection.customer.id
        self._connections[key].discard(connection)
        if not self._connections[key]:
            del self._connections[key]

    def connections(self, customer_id: str | None = None) -> list[Connection]:
        """Return the open connections of one customer or of all."""
        found: Iterable[set[Connection]] = self._connections.values()
        return [each for several in found for each in several if customer_id in (None, each.customer.id)]

    def open_contact(
        self,
        thread: Thread,
        customer: Customer,
        fields: Mapping[str, str | None],
        customer_fields: Mapping[str, str | None],
    ) -> Conversation:
        """Open a contact in a thread."""
        return self._desk.open(
            "dfo",
            channel=thread.channel,
            thread_id=thread.external_id,
            customer=customer,
            fields=fields,
            customer_fields=customer_fields,
            listener=partial(self._observe, thread),
        )

    def clear(self) -> None:
        """Delete faults and recorded frames. The desk deletes the threads."""
        self.faults.queued.clear()
        self.log.clear()

    def _observe(self, thread: Thread, conversation: Conversation, event: Event) -> None:
        match event:
            case Opened():
                thread.conversations.append(conversation)
            case MessageAdded(message):
                thread.messages.append(message)
            case Forgotten():
                self._forget(thread, conversation)
            case _:
                pass
        channel = self.channels.by_id.get(thread.channel)
        if channel is None:
            return
        connections = self._connections.get((thread.channel, thread.customer.id), ())
        for frame in pushes_of(event, conversation, thread, channel, self.channels.brand_id):
            if frame["eventObject"] == "Case":
                thread.history.append(frame)
            for connection in tuple(connections):
                if connection.is_authorized:
                    connection.send(frame, frame["eventType"], thread=thread.external_id)

    def _forget(self, thread: Thread, conversation: Conversation) -> None:
        thread.conversations.remove(conversation)
        forgotten = set(conversation.messages)
        thread.messages = [message for message in thread.messages if message not in forgotten]
        if not thread.conversations:
            self.threads.remove(thread)
