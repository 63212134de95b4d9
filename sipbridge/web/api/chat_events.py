"""The events of a chat as they happen (server-sent events, WHATWG HTML, 9.2), resumable without loss."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from typing import Annotated

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from pydantic import BaseModel, Field

from sipbridge.chats.model import ChatEvent, ChatRecord
from sipbridge.chats.ports import LiveChat
from sipbridge.config import matches_any
from sipbridge.errors import BadRequest, NotFound
from sipbridge.web.api.chat_schemas import ChatStreamMessage
from sipbridge.web.api.events import LAST_EVENT_ID, PING_SECONDS, SEND_SECONDS, STREAM_ENDS
from sipbridge.web.api.operation import NO_SUCH_CHAT, Empty, Operation, RequestContext, Response
from sipbridge.web.server.auth import KEY_HEADER, Access
from sipbridge.web.server.guesses import GUESSES
from sipbridge.web.server.readers import Reader
from sipbridge.web.server.slots import SLOTS

PAGE = 500
MAX_SEQUENCE = 2**53  # what every JSON parser can hold


class ChatEventsQuery(BaseModel):
    """The place to resume at."""

    after: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_SEQUENCE,
            description="Only events with a higher sequence. The header Last-Event-ID wins over it.",
        ),
    ] = 0


async def stream_chat_events(context: RequestContext[ChatEventsQuery, Empty]) -> web.StreamResponse:
    """Send the events after the given one: first those in the store, then those that happen, until the chat is over."""
    after = _resume_after(context)
    record = await _record(context)
    with _slot(context, record):
        if context.request.method == "HEAD":
            return web.StreamResponse(headers=EventSourceResponse().headers)
        return await _stream(context, record, after)


async def _record(context: RequestContext[ChatEventsQuery, Empty]) -> ChatRecord:
    """Return the record of the chat in the path. A lookup in the store takes a slot of the key.

    Raises `NotFound` or `TooManyRequests`.
    """
    if (live := _live(context)) is not None:
        return live.record
    with context.request.app[SLOTS].hold(_key(context), context.client):
        record = await context.deps.chats.store.get(context.client, context.project, context.chat_id)
    if record is None:
        raise NotFound(NO_SUCH_CHAT)
    return record


def _slot(context: RequestContext[ChatEventsQuery, Empty], record: ChatRecord) -> AbstractContextManager[None]:
    """Return the slot of a stream: of the chat if it is in progress, at whatever node, and of the key if it is over."""
    slots, key = context.request.app[SLOTS], _key(context)
    if record.state.is_final:
        return slots.hold(key, context.client)
    return slots.hold_stream(record.uid, key, context.client)


def _key(context: RequestContext[ChatEventsQuery, Empty]) -> str:
    """Return the hash by which slots know the key."""
    return context.request.app[GUESSES].hashed(context.request.headers[KEY_HEADER])


def _live(context: RequestContext[ChatEventsQuery, Empty]) -> LiveChat | None:
    """Return the chat if this node carries it."""
    return context.deps.chats.directory.find(context.client, context.project, context.chat_id)


async def _stream(
    context: RequestContext[ChatEventsQuery, Empty], record: ChatRecord, after: int
) -> web.StreamResponse:
    following: AbstractAsyncContextManager[None] = nullcontext()
    if not record.state.is_final and not context.deps.chats.has(record):
        following = context.deps.event_log.follow_chat(record)
    # The reader first: what happens while the store is read is in one of the two, and the sequence shows it.
    with context.deps.chats.feed.reader(record.uid) as reader:
        async with (
            following,
            sse_response(context.request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream,
        ):
            with suppress(*STREAM_ENDS):
                async for event in _events(context, record.uid, reader, after, ended=record.state.is_final):
                    sequence = None if event.sequence is None else str(event.sequence)
                    await stream.send(event.to_json(), event=event.type.value, id=sequence)
    return stream


async def _events(
    context: RequestContext[ChatEventsQuery, Empty], uid: str, reader: Reader[ChatEvent], after: int, *, ended: bool
) -> AsyncIterator[ChatEvent]:
    while stored := await context.deps.chats.store.events(uid, after=after, limit=PAGE):
        for event in stored:
            yield event
        after = stored[-1].sequence or after
        ended = ended or stored[-1].type.is_last  # it may have ended before the reader was there
    if ended:
        return
    async for event in reader:
        if not _is_still_authorized(context):
            return
        if event.sequence is None:
            yield event
            continue
        if event.previous > after:  # another node has written events meanwhile, before the chat moved here
            for missed in await context.deps.chats.store.events(uid, after=after, limit=event.previous - after):
                yield missed
                after = missed.sequence or after
        if event.sequence > after:
            yield event
            after = event.sequence


def _resume_after(context: RequestContext[ChatEventsQuery, Empty]) -> int:
    given = context.request.headers.get(LAST_EVENT_ID)
    if not given:
        return context.query.after
    if not re.fullmatch("[0-9]{1,16}", given) or int(given) > MAX_SEQUENCE:
        raise BadRequest(f"{LAST_EVENT_ID} must be the id of an event of this stream")
    return int(given)


def _is_still_authorized(context: RequestContext[ChatEventsQuery, Empty]) -> bool:
    """True if the key is still valid. A stream outlives reloads; access with a revoked key must not."""
    key = context.request.headers.get(KEY_HEADER, "")
    project = context.deps.config().find_project(context.client, context.project)
    live = _live(context)
    return bool(project and matches_any(project.api_keys, key)) or bool(live and live.accepts_key(key))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/chats/{chat_id}/events",
        summary="The events of a chat; the id of each is its sequence, at which a reader resumes without loss",
        handler=stream_chat_events,
        response=Response(
            200,
            "A stream until the chat is over; the schema describes one event",
            ChatStreamMessage,
            "text/event-stream",
        ),
        query=ChatEventsQuery,
        body=Empty,
        access=Access.CHAT_STREAM,
        refuses=(NotFound,),
    ),
)
