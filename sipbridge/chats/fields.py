"""The custom fields and parameters of a chat's contact, filled in from the request."""

from __future__ import annotations

import re
from collections.abc import Callable

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.request import ChatRequest
from sipbridge.config import ChatChannelConfig, PatronChannelConfig
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.parameters import fill_in, handoff_values, placeholders

MAX_FIELD_CHARACTERS = 1024  # of a custom field's value (CXone)
_PATRON_NAME = re.compile("P[1-9][0-9]?")

PopUrl = Callable[[ChatRecord], str]


def custom_fields(
    channel: ChatChannelConfig, record: ChatRecord, request: ChatRequest, pop_url: PopUrl
) -> dict[str, str]:
    """Return the values that the contact gets, cut to what CXone takes; the bot's own win, and empty ones are left out.

    For a patron channel they are P1, P2, … in order. Raises `HandoffInvalid` if the bot's own have other names.
    """
    if isinstance(channel, PatronChannelConfig):
        if not all(map(_PATRON_NAME.fullmatch, request.custom_fields)):
            raise HandoffInvalid("custom_fields: a channel of type patron takes P1 to P99 only")
        templates = {f"P{number}": template for number, template in enumerate(channel.parameters, 1)}
    else:
        templates = dict(channel.custom_fields)
    values = _values(record, placeholders(templates.values()), pop_url)
    filled = fill_in(templates.items(), values, request.custom_fields.items())
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in filled.items()}


def _values(record: ChatRecord, used: frozenset[str], pop_url: PopUrl) -> dict[str, str]:
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
        "pop_url": pop_url(record) if "pop_url" in used else "",
        **{f"customer.{name}": value for name, value in record.customer.model_dump().items()},
    }
