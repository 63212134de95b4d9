"""The comparison of a chat that has ended: the bot, the bridge's record and the desk of the human agents."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.harness.cxone.desk import Desk
from tests.harness.waiting import wait_for

from .chat_bot import BotChat
from .chat_channels import PATRON

Json = dict[str, Any]
CLOSE_SECONDS = 60.0  # after the end of a chat: a node that may not send to CXone just then closes the contact later


class ChatError(AssertionError):
    """A message that was lost, doubled or overtaken, or a chat that did not end as it should."""


def check_events(chat: BotChat) -> None:
    """The stream has each sequence once; the webhook has the same events in order, and may repeat some."""
    sequences = [event["sequence"] for event in chat.streamed]
    _check(chat, sequences == list(range(1, len(sequences) + 1)), "the stream has a gap or repeats events", sequences)
    first_posts: dict[int, Json] = {}
    for event in chat.posted:
        first_posts.setdefault(event["sequence"], event)
    _check(chat, list(first_posts) == sequences, "the webhook has a gap or another order", list(first_posts))
    _check(chat, list(first_posts.values()) == chat.streamed, "webhook and stream differ", first_posts)
    _check(chat, all(event == first_posts[event["sequence"]] for event in chat.posted), "a repetition differs", None)


def check_messages(chat: BotChat, desk: Desk, *, ended_by: str) -> int:
    """Each message arrived once and in order, both ways; return the number of those that arrived.

    Of the human agent's messages, the chat may miss those after an end that was not the human agent's. Patron chat has
    no ids: a text that was being sent when the bridge was killed may have arrived or not, and its fate is `unknown`.
    """
    (conversation,) = _conversations(chat, desk)
    messages = desk.messages(conversation["id"], seconds=0)
    inbound = [message["text"] for message in messages if message["direction"] == "inbound"]
    opening = f"[{chat.id}]"
    own = [text for text in inbound if text.startswith(opening)]
    due = [opening, *chat.sent]
    if chat.channel == PATRON:
        due = [text for text in due if text in own or text in chat.delivered]
    _check(chat, own == due, "the human agent got other messages", inbound)
    _check(chat, inbound[: len(own)] == own, "the closing text is not the last", inbound)
    _check(chat, len(inbound) <= len(own) + 1, "the human agent got more than the closing text", inbound)
    outbound = [message["text"] for message in messages if message["direction"] == "outbound"]
    expected = outbound if ended_by == "agent" else outbound[: len(chat.received)]
    _check(chat, chat.received == expected, "the bot got other messages", {"desk": outbound, "bot": chat.received})
    _check(chat, list(chat.fates) == [f"m{number + 1}" for number in range(len(chat.sent))], "other fates", chat.fates)
    allowed = {"delivered", "unknown"} if chat.channel == PATRON else {"delivered"}
    _check(chat, set(chat.fates.values()) <= allowed, "a message was not delivered", chat.fates)
    return len(own) - 1 + len(chat.received)


def check_end(chat: BotChat, record: Json, desk: Desk, *, ended_by: str) -> None:
    """The chat ended as it should for the bot, in the record, and at CXone."""
    last = chat.streamed[-1]
    _check(chat, last["type"] == "chat_ended" and last["payload"]["by"] == ended_by, "another end", last)
    state = (record["state"], record["ended_by"], record["handoff"]["state"])
    _check(chat, state == ("ended", ended_by, "handoff_completed"), "the record has another end", record)
    (conversation,) = _conversations(chat, desk)
    if ended_by == "agent" or chat.channel != "messaging":
        by = "agent" if ended_by == "agent" else "customer"
        with suppress(TimeoutError):
            conversation = wait_for(lambda: _closed(chat, desk), "the end of the contact", CLOSE_SECONDS)
        _check(chat, conversation["closed_by"] == by, "the contact was not closed", conversation)
    else:
        closing = desk.messages(conversation["id"], seconds=0, direction="inbound")[len(chat.sent) + 1 :]
        _check(chat, len(closing) == 1, "the human agent did not get the closing text", closing)


def _closed(chat: BotChat, desk: Desk) -> Json | None:
    return next((each for each in _conversations(chat, desk) if each["closed_by"]), None)


def _conversations(chat: BotChat, desk: Desk) -> Sequence[Json]:
    found = desk.chats(contains=f"[{chat.id}]", seconds=0)
    _check(chat, len(found) == 1, "it has another number of contacts than 1", found)
    return found


def _check(chat: BotChat, holds: bool, what: str, found: object) -> None:  # noqa: FBT001 (like assert)
    if not holds:
        raise ChatError(f"chat {chat.id}: {what}: {found}")
