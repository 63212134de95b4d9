"""One event of the client: who sent it, its data, and its thread and contact."""

from __future__ import annotations

from dataclasses import dataclass

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Json, Malformed
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway
from sipbridge.simulators.cxone.digital.gateway.threads import Thread
from sipbridge.simulators.cxone.digital.messages import Customer

# The reply: its event type and data. None: the event has no reply.
Reply = tuple[str, Json] | None
# NICE documents no reply to these events: any frame with the eventId and without an error acknowledges them.
ACKNOWLEDGED: Reply = ("Acknowledged", {})


@dataclass(frozen=True, slots=True)
class Call:
    """One event: who sent it, and its data."""

    gateway: Gateway
    connection: Connection
    event_type: str
    customer: Customer  # as the frame says, with the names
    data: Json

    @property
    def channel_id(self) -> str:
        """The id of the channel."""
        return self.connection.channel_id

    @property
    def channel(self) -> Channel:
        """The channel with its present settings."""
        channel = self.gateway.channels.by_id.get(self.channel_id)
        if channel is None:
            raise Malformed("the channel does not exist any more")
        return channel

    def own_thread(self, failure: str = "InconsistentData") -> Thread:
        """Return the thread of the event, which must be one of this customer."""
        thread = self.gateway.threads.find(self.channel_id, frames.thread_id(self.data))
        if thread is None or thread.customer.id != self.customer.id:
            raise FrameError(failure, "the customer has no such thread")
        return thread

    def current_contact(self) -> Conversation:
        """Return the open contact of the thread."""
        conversation = self.own_thread().current
        if conversation is None:
            raise Malformed("the thread has no open contact")
        return conversation

    def check_contact(self, conversation: Conversation) -> None:
        """Check that the event is for this contact."""
        if frames.a_text(frames.an_object(self.data, "contact"), "id") != conversation.id:
            raise Malformed("contact.id is not the open contact of the thread")
