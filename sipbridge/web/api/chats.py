"""The chats of a project: their start, their messages both ways, their end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.chats.ended_chat import EndedChat
from sipbridge.chats.model import ATTACHMENT_ID_PATTERN, BotMessage, ChatRecord, EndRequest
from sipbridge.chats.polyai import PolyaiChatResult
from sipbridge.chats.ports import ChatControl
from sipbridge.chats.request import ChatRequest, EndChatRequest, MessageRequest, TypingRequest
from sipbridge.errors import ChatConflict, ChatsUnavailable, HandoffInvalid, NotFound
from sipbridge.handoffs.record import Timestamp
from sipbridge.web.api.chat_schemas import (
    AvailabilityResponse,
    ChatAccepted,
    ChatDetail,
    ChatList,
    ChatSummary,
    MessageAccepted,
)
from sipbridge.web.api.operation import NO_SUCH_CHAT, Empty, Operation, RequestContext, Response, json_response


class AvailabilityQuery(BaseModel):
    """The channel to ask."""

    channel: Annotated[str, Field(max_length=256, description="The default channel unless given.")] | None = None


class ChatListQuery(BaseModel):
    """The page to return."""

    limit: Annotated[int, Field(ge=1, le=200, description="Maximum number of chats.")] = 50
    before: Annotated[Timestamp, Field(description="Only chats that started earlier (RFC 3339).")] | None = None


async def get_chat_availability(context: RequestContext[AvailabilityQuery, Empty]) -> web.Response:
    """Ask a channel if human agents can take a chat now."""
    reception = context.deps.chats.reception
    channel, found = await reception.availability(context.client, context.project, context.query.channel)
    body = AvailabilityResponse(
        status=found.status,
        channel=channel,
        agents_available=found.agents_available,
        queue_count=found.queue_count,
        reason=found.reason,
    )
    return web.Response(body=body.model_dump_json(exclude_none=True).encode(), content_type="application/json")


async def start_chat(context: RequestContext[Empty, ChatRequest]) -> web.Response:
    """Start a chat."""
    record = await context.deps.chats.reception.start(context.client, context.project, context.body)
    return json_response(ChatAccepted(id=record.chat_id, state=record.state), status=202)


async def list_chats(context: RequestContext[ChatListQuery, Empty]) -> web.Response:
    """Return chats, newest first. All of them are in the store; those in progress may be ahead of it."""
    chats, query = context.deps.chats, context.query
    stored = await chats.store.list_chats(context.client, context.project, limit=query.limit, before=query.before)
    return json_response(ChatList(chats=[ChatSummary.of(_latest(context, record)) for record in stored]))


async def get_chat(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return one chat with its messages."""
    record = await _find(context)
    stored = await context.deps.chats.store.read(record.uid)
    if stored is None:
        raise NotFound(NO_SUCH_CHAT)
    return json_response(ChatDetail.of_stored(stored, _latest(context, stored.record)))


async def get_attachment(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return a file that the human agent sent. A browser does not show it, since it may be a page with a script."""
    record, attachment_id = await _find(context), context.request.match_info["attachment_id"]
    file = None
    if re.fullmatch(ATTACHMENT_ID_PATTERN, attachment_id):
        file = await context.deps.chats.store.attachment(record.uid, attachment_id)
    if file is None:
        raise NotFound("this chat has no such attachment")
    media_type = file.media_type if re.fullmatch(_MEDIA_TYPE, file.media_type) else _ANY_CONTENT
    disposition = f"attachment; filename*=UTF-8''{quote(file.name or 'file', safe='')}"
    headers = {"Content-Type": media_type, "Content-Disposition": disposition}
    return web.Response(body=file.content, headers=headers)


async def add_message(context: RequestContext[Empty, MessageRequest]) -> web.Response:
    """Accept a message for the human agent."""
    body = context.body
    chat = await _control(context)
    await chat.accept_message(
        BotMessage(id=body.id, text=body.text, attachments=body.attachments, at=datetime.now(UTC))
    )
    return json_response(MessageAccepted(id=body.id), status=202)


async def set_typing(context: RequestContext[Empty, TypingRequest]) -> web.Response:
    """Show the human agent that the customer types."""
    (await _control(context)).set_typing(on=context.body.state == "started")
    return json_response(MessageAccepted(id=context.chat_id), status=202)


async def end_chat(context: RequestContext[Empty, EndChatRequest]) -> web.Response:
    """End a chat."""
    chat = await _control(context)
    await chat.request_end(EndRequest(by=context.body.by, reason=context.body.reason, at=datetime.now(UTC)))
    return json_response(ChatAccepted(id=context.chat_id, state=chat.record.state), status=202)


async def _control(context: RequestContext[Any, Any]) -> ChatControl:
    """Return the chat, in progress or over. Raises `NotFound` if it never existed."""
    chats = context.deps.chats
    chat = chats.directory.find(context.client, context.project, context.chat_id)
    if chat is not None:
        return chat
    record = await chats.store.get(context.client, context.project, context.chat_id)
    if record is not None and not record.state.is_final:
        raise ChatsUnavailable("the chat is being recovered after a restart; try again in a moment")
    stored = await chats.store.read(record.uid) if record else None
    if stored is None:
        raise NotFound(NO_SUCH_CHAT)
    return EndedChat(stored)


async def _find(context: RequestContext[Any, Any]) -> ChatRecord:
    live = context.deps.chats.directory.find(context.client, context.project, context.chat_id)
    record = live.record if live else None
    record = record or await context.deps.chats.store.get(context.client, context.project, context.chat_id)
    if record is None:
        raise NotFound(NO_SUCH_CHAT)
    return record


def _latest(context: RequestContext[Any, Any], record: ChatRecord) -> ChatRecord:
    """Return the present state of a stored chat."""
    live = context.deps.chats.directory.find(record.client, record.project, record.chat_id)
    return live.record if live else record


_ANY_CONTENT = "application/octet-stream"
_MEDIA_TYPE = r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}"  # RFC 6838, section 4.2
_PROJECT = "/v1/{account_id}/{project_id}"
_CHAT = f"{_PROJECT}/chats/{{chat_id}}"

OPERATIONS = (
    # First, since aiohttp tries the paths in this order, and most requests are messages.
    Operation(
        method="POST",
        path=f"{_CHAT}/messages",
        summary="Send a message to the human agent; the same request again changes nothing",
        handler=add_message,
        response=Response(202, "The message is stored, and will be handed over", MessageAccepted),
        query=Empty,
        body=MessageRequest,
        refuses=(NotFound, ChatConflict, ChatsUnavailable),
    ),
    Operation(
        method="GET",
        path=f"{_PROJECT}/chat/availability",
        summary="If human agents can take a chat now",
        handler=get_chat_availability,
        response=Response(200, "The availability", AvailabilityResponse),
        query=AvailabilityQuery,
        body=Empty,
        refuses=(HandoffInvalid,),
    ),
    Operation(
        method="POST",
        path=f"{_PROJECT}/chats",
        summary="Hand a conversation to a human agent; the same request again gives the same response",
        handler=start_chat,
        response=Response(202, "The chat is requested", ChatAccepted),
        query=Empty,
        body=ChatRequest,
        also=PolyaiChatResult,
        refuses=(HandoffInvalid, ChatConflict, ChatsUnavailable),
    ),
    Operation(
        method="GET",
        path=f"{_PROJECT}/chats",
        summary="Chats in progress and ended, newest first; for the next page, `before` is the last one's `started_at`",
        handler=list_chats,
        response=Response(200, "The chats", ChatList),
        query=ChatListQuery,
        body=Empty,
    ),
    Operation(
        method="GET",
        path=_CHAT,
        summary="One chat with its messages",
        handler=get_chat,
        response=Response(200, "The chat", ChatDetail),
        query=Empty,
        body=Empty,
        refuses=(NotFound,),
    ),
    Operation(
        method="GET",
        path=f"{_CHAT}/attachments/{{attachment_id}}",
        summary="A file that the human agent sent, if CXone's link to it expires",
        handler=get_attachment,
        response=Response(200, "The content, with its media type", media_type=_ANY_CONTENT),
        query=Empty,
        body=Empty,
        refuses=(NotFound,),
    ),
    Operation(
        method="POST",
        path=f"{_CHAT}/typing",
        summary="Show the human agent that the customer types",
        handler=set_typing,
        response=Response(202, "The human agent is shown it, if the channel can do so", MessageAccepted),
        query=Empty,
        body=TypingRequest,
        refuses=(NotFound, ChatConflict, ChatsUnavailable),
    ),
    Operation(
        method="POST",
        path=f"{_CHAT}/end",
        summary="End a chat once its messages are handed over",
        handler=end_chat,
        response=Response(202, "The chat is being ended", ChatAccepted),
        query=Empty,
        body=EndChatRequest,
        refuses=(NotFound, ChatConflict, ChatsUnavailable),
    ),
)
