"""The ids of a chat at the gateway: minted by us, the same after a restart."""

from __future__ import annotations

import uuid
from typing import Any, Self

from sipbridge.chats.model import ChatRecord
from sipbridge.cxone.digital.dfo.frames import Person
from sipbridge.cxone.digital.values import text_of

_NAMESPACE = uuid.UUID("8f0d5c2e-6f0e-5f7b-9d52-1c1d7a0f3b11")


class Identity:
    """The ids of one chat.

    `livechat` is None until the kind of the channel is known, and never changes after that. `contact_id` is empty until
    CXone has given it.
    """

    def __init__(self, person: Person, thread_id: str, contact_id: str, *, livechat: bool | None) -> None:
        self.person = person
        self.thread_id = thread_id
        self.contact_id = contact_id
        self.livechat = livechat

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
        livechat = state.get("livechat")
        return cls(
            person,
            record.derived_id("thread"),
            text_of(state.get("contact_id")),
            livechat=livechat if isinstance(livechat, bool) else None,
        )

    def decide_kind(self, livechat: bool | None) -> bool:  # noqa: FBT001 (a value, not an option)
        """Use the channel's kind unless that of the chat is known already; return True if it became known."""
        is_news = self.livechat is None and livechat is not None
        if is_news:
            self.livechat = livechat
        return is_news

    def as_state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""
        return {
            "customer_id": self.person.customer_id,
            "livechat": self.livechat,
            "contact_id": self.contact_id,
        }
