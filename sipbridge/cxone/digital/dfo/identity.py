"""The ids of a chat at the gateway: minted by us, the same after a restart."""

from __future__ import annotations

import uuid
from typing import Any, Self

from sipbridge.chats.model import ChatRecord
from sipbridge.cxone.digital.dfo.frames import Person
from sipbridge.cxone.digital.dfo.rest import ChannelInfo
from sipbridge.cxone.digital.values import text_of

_NAMESPACE = uuid.UUID("8f0d5c2e-6f0e-5f7b-9d52-1c1d7a0f3b11")


class Identity:
    """The ids of one chat.

    `livechat` is None until the kind of the channel is known, and never changes after that; `secured` as in
    `ChannelInfo`. `contact_id` is empty until CXone has given it.
    """

    def __init__(
        self, person: Person, thread_id: str, contact_id: str, *, livechat: bool | None, secured: bool | None
    ) -> None:
        self.person = person
        self.thread_id = thread_id
        self.contact_id = contact_id
        self.livechat = livechat
        self.secured = secured

    @classmethod
    def of(cls, record: ChatRecord) -> Self:
        """Return the ids of a chat. A customer with an id of the bot's is the same one in each of its chats."""
        state, customer = record.channel_state, record.customer
        own = f"{record.client} {record.project} {record.channel} {customer.id}"
        customer_id = str(uuid.uuid5(_NAMESPACE, own)) if customer.id else record.derived_id("customer")
        person = Person(
            customer_id=text_of(state.get("customer_id")) or customer_id,
            visitor_id=record.derived_id("visitor"),
            first_name=customer.first_name,
            last_name=customer.last_name,
        )
        livechat, secured = state.get("livechat"), state.get("secured")
        return cls(
            person,
            record.derived_id("thread"),
            text_of(state.get("contact_id")),
            livechat=livechat if isinstance(livechat, bool) else None,
            secured=secured if isinstance(secured, bool) else None,
        )

    def learn(self, info: ChannelInfo) -> bool:
        """Take over what is known of the channel; return True if it is news, which a later run needs as well."""
        before = self.livechat, self.secured
        if self.livechat is None:
            self.livechat = info.livechat
        if info.secured is not None:
            self.secured = info.secured
        return before != (self.livechat, self.secured)

    def as_state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""
        return {
            "customer_id": self.person.customer_id,
            "livechat": self.livechat,
            "secured": self.secured,
            "contact_id": self.contact_id,
        }
