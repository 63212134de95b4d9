"""Messages, human agents and contacts of CXone's digital channels, read leniently: any field may be missing.

Sources: the message types and the user object of NICE's public chat SDKs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from sipbridge.chats.happenings import AgentMessage
from sipbridge.chats.model import (
    MAX_DETAIL_CHARACTERS,
    MAX_URL_CHARACTERS,
    WEB_URL_PATTERN,
    Attachment,
    HumanAgent,
)
from sipbridge.cxone.digital.values import Json, list_of, object_of, text_of

_OVER = ("closed", "trashed")
_WEB_URL = re.compile(WEB_URL_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_over(status: object) -> bool:
    """True if a contact with this status has ended. `resolved` is not: the human agent may still write."""
    return text_of(status).lower() in _OVER


def human_agent(user: object) -> HumanAgent | None:
    """Return the human agent that a user object describes; None for no one, and for bots and surveys."""
    if not isinstance(user, dict) or user.get("isBotUser") is True or user.get("isSurveyUser") is True:
        return None
    user_id = text_of(user.get("id"))
    if not user_id:
        return None
    full = " ".join(part for part in (text_of(user.get("firstName")), text_of(user.get("surname"))) if part)
    picture = text_of(user.get("imageUrl"))
    return make_agent(user_id, text_of(user.get("nickname")) or full, picture if _is_web_url(picture) else "")


@lru_cache(maxsize=1024)  # one for each of their messages
def make_agent(agent_id: str, name: str, avatar_url: str = "") -> HumanAgent:
    """Return a human agent. Bots show the name in pages and put it into lines, so it is one line of text."""
    shown = " ".join(_CONTROL.sub(" ", name).split())[:MAX_DETAIL_CHARACTERS]
    return HumanAgent(id=agent_id[:MAX_DETAIL_CHARACTERS], name=shown or None, avatar_url=avatar_url or None)


def message_ids(message: Json) -> list[str]:
    """Return the ids that a message has: the server's, then the sender's. In lower case: that of UUIDs differs."""
    return [each for each in (text_of(message.get("id")).lower(), sender_id_of(message)) if each]


def sender_id_of(item: Json) -> str:
    """Return the id that the sender gave a message or a thread, in lower case; empty if it has none."""
    return text_of(item.get("idOnExternalPlatform")).lower()


def agent_message(message: Json) -> AgentMessage | None:
    """Return a message of the human agent; None if it has nothing that can be shown."""
    ids = message_ids(message)
    text = message_text(object_of(message.get("messageContent")))
    attachments = attachments_of(message)
    if not ids or not (text or attachments):
        return None
    agent = human_agent(message.get("authorUser"))
    return AgentMessage(ids[0], text, created_at(message), attachments, agent)


def attachments_of(message: Json) -> tuple[Attachment, ...]:
    """Return the attachments of a message whose URL is one of the web: a bot's page makes a link of it."""
    return tuple(
        Attachment(
            url=text_of(each.get("url")),
            name=text_of(each.get("friendlyName"))[:MAX_DETAIL_CHARACTERS],
            media_type=text_of(each.get("mimeType"))[:MAX_DETAIL_CHARACTERS],
        )
        for each in list_of(message.get("attachments"))
        if _is_web_url(text_of(each.get("url")))
    )


def _is_web_url(url: str) -> bool:
    """True for an http(s) URL without blanks and control characters, so for no `javascript:` or `data:`."""
    return len(url) <= MAX_URL_CHARACTERS and _WEB_URL.fullmatch(url) is not None


def created_at(message: Json) -> datetime:
    """Return the time of a message; now if it has none."""
    for key in ("createdAtWithMilliseconds", "createdAt"):
        try:
            at = datetime.fromisoformat(text_of(message.get(key)))
        except ValueError:
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.now(UTC)


def message_text(content: Json) -> str:
    """Return the text of a message of any type; of types that we do not know, the text that CXone gives for them."""
    payload = object_of(content.get("payload"))
    match text_of(content.get("type")):
        case "TEXT":
            return text_of(payload.get("text"))
        case "QUICK_REPLIES" | "LIST_PICKER" as kind:
            shown = text_of(object_of(payload.get("text")).get("content")) or text_of(
                object_of(payload.get("title")).get("content")
            )
            choices = [text_of(action.get("text")) for action in list_of(payload.get("actions"))]
            if shown and choices:
                return "\n".join([shown, *(f"- {choice}" for choice in choices if choice)])
            return shown or text_of(content.get("fallbackText")) or kind
        case "RICH_LINK":
            link = text_of(payload.get("url")) or text_of(object_of(payload.get("url")).get("url"))
            title = text_of(object_of(payload.get("title")).get("content"))
            return "\n".join(part for part in (title, link) if part) or text_of(content.get("fallbackText"))
        case _:
            return text_of(content.get("fallbackText")) or text_of(payload.get("text"))
