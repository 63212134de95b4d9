"""The custom fields and parameters of a chat's contact, filled in from the request."""

from __future__ import annotations

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.request import ChatRequest
from sipbridge.config import ChatChannelConfig, PatronChannelConfig
from sipbridge.handoffs.parameters import fill_in, handoff_values, placeholders

MAX_FIELD_CHARACTERS = 1024  # of a custom field's value (CXone)


def custom_fields(channel: ChatChannelConfig, record: ChatRecord, request: ChatRequest) -> dict[str, str]:
    """Return the values that the contact gets, cut to what CXone takes; the bot's own win, and empty ones are left out.

    For a patron channel they are P1, P2, … in order.
    """
    if isinstance(channel, PatronChannelConfig):
        templates = {f"P{number}": template for number, template in enumerate(channel.parameters, 1)}
    else:
        templates = dict(channel.custom_fields)
    filled = fill_in(
        templates.items(), _values(record, placeholders(templates.values())), request.custom_fields.items()
    )
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in filled.items()}


def _values(record: ChatRecord, used: frozenset[str]) -> dict[str, str]:
    handoff = record.handoff
    return {
        **handoff_values(
            used,
            destination=record.channel,
            reason=handoff.reason,
            utterance=handoff.utterance,
            data=handoff.data,
        ),
        "handoff_id": record.chat_id,
        "chat_id": record.chat_id,
        "client": record.client,
        "project": record.project,
        **{f"customer.{name}": value for name, value in record.customer.model_dump().items()},
    }
