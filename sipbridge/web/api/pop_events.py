"""The changes of a call or chat that a page shows, as they happen (server-sent events, WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from pydantic import BaseModel, Field

from sipbridge.calls.model import CallRecord
from sipbridge.chats.model import ChatRecord
from sipbridge.errors import BadRequest, NotFound
from sipbridge.web.api.events import PING_SECONDS, SEND_SECONDS, STREAM_ENDS
from sipbridge.web.api.handoff_state import find_handoff
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response
from sipbridge.web.api.schemas import PageUpdateMessage
from sipbridge.web.api.turns import read_turns
from sipbridge.web.deps import WebDeps
from sipbridge.web.screen_pop.feed import Watcher
from sipbridge.web.screen_pop.status import Status
from sipbridge.web.screen_pop.texts import words
from sipbridge.web.screen_pop.update import update_of
from sipbridge.web.server.auth import Access
from sipbridge.web.server.errors import InvalidLink, TooManyRequests
from sipbridge.web.server.pacing import PACER
from sipbridge.web.server.slots import SLOTS

UPDATE_SECONDS = 0.2  # between two updates of a page: no one reads faster, and many pages may be open
MAX_MESSAGES = 1_000_000
_LAST_EVENT_ID = "Last-Event-ID"


class PopEventsQuery(BaseModel):
    """The number of messages that the page has."""

    after: Annotated[
        int, Field(ge=0, le=MAX_MESSAGES, description="Only later messages. The header Last-Event-ID wins over it.")
    ] = 0


async def stream_pop_events(context: RequestContext[PopEventsQuery, Empty]) -> web.StreamResponse:
    """Send the state and the messages that the page does not have, then each change, until the call or chat is over."""
    deps, request = context.deps, context.request
    target = deps.pop_links.verify(request.match_info["token"])
    shown = _shown(context)
    key = (target.client, target.project, target.call_id)
    # The watcher first, so that no change is missed while the record is read.
    with request.app[SLOTS].hold_page("/".join(key)), deps.pages.watch(key) as watcher:
        found = await find_handoff(deps, *key)
        if request.method == "HEAD":
            return web.StreamResponse(headers=EventSourceResponse().headers)
        following = _following(deps, found.record)
        # No `AsyncExitStack`: the reference cycle of one that is cancelled would wait for the garbage collector.
        async with following or nullcontext():
            if following is not None:
                found = await find_handoff(deps, *key)  # it may have changed before that
            async with sse_response(request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream:
                with suppress(*STREAM_ENDS):
                    await _send_updates(context, stream, found.record, watcher, shown, target.expires_at)
    return stream


async def _send_updates(
    context: RequestContext[PopEventsQuery, Empty],
    stream: EventSourceResponse,
    record: CallRecord | ChatRecord | None,
    watcher: Watcher,
    shown: int,
    expires_at: float,
) -> None:
    """Send updates until there are no more. `shown` is the number of messages that the page has."""
    deps, request = context.deps, context.request
    texts = words(deps.config().http.pop_page.language, request.headers.get("Accept-Language", ""))
    sent: Status | None = None
    while record is not None and time.time() < expires_at:
        turns = await read_turns(deps, record)
        await request.app[PACER].next_turn()
        update = update_of(record, turns, texts, shown, datetime.now(UTC))
        if update.messages or update.status != sent:
            shown, sent = update.count, update.status
            await stream.send(update.to_json(), id=str(shown))
        if update.final:
            break
        await asyncio.sleep(UPDATE_SECONDS)
        record = await watcher.change()


def _following(deps: WebDeps, record: CallRecord | ChatRecord) -> AbstractAsyncContextManager[None] | None:
    """Return what follows a call or chat of another node; None if it is one of this node."""
    log = deps.event_log
    if isinstance(record, ChatRecord):
        return None if deps.chats.has(record) else log.follow_chat(record)
    is_here = deps.directory.find(record.client, record.project, record.call_id) is not None
    return None if is_here else log.follow_calls(record.client, record.project)


def _shown(context: RequestContext[PopEventsQuery, Empty]) -> int:
    given = context.request.headers.get(_LAST_EVENT_ID)
    if not given:
        return context.query.after
    if not re.fullmatch("[0-9]{1,7}", given):
        raise BadRequest(f"{_LAST_EVENT_ID} must be the id of an event of this stream")
    return int(given)


OPERATIONS = (
    Operation(
        method="GET",
        path="/pop/{token}/events",
        summary="The changes of the call or chat that a signed link names; the id of each is the number of messages",
        handler=stream_pop_events,
        response=Response(
            200,
            "A stream until the call or chat is over; the schema describes one event",
            PageUpdateMessage,
            "text/event-stream",
        ),
        query=PopEventsQuery,
        body=Empty,
        access=Access.PUBLIC,
        refuses=(BadRequest, InvalidLink, NotFound, TooManyRequests),
        paced=True,
    ),
)
