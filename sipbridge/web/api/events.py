"""The project's events as they happen (server-sent events, WHATWG HTML, 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from sipbridge.config import matches_any
from sipbridge.errors import BadRequest, StoreError
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response
from sipbridge.web.api.schemas import EventMessage
from sipbridge.web.server.auth import KEY_HEADER
from sipbridge.web.server.event_feed import EventId, Notice
from sipbridge.web.server.readers import Reader

LAST_EVENT_ID = "Last-Event-ID"
PING_SECONDS = 15.0
SEND_SECONDS = 30.0  # a reader that reads nothing for this long is disconnected
# What ends a stream without a fault: the reader has left or is too slow, or the store fails. The reader resumes later.
STREAM_ENDS = (ConnectionError, TimeoutError, StoreError)


async def stream_events(context: RequestContext[Empty, Empty]) -> web.StreamResponse:
    """Send events until the reader disconnects, is too slow, or its key is revoked. HEAD gets the headers only.

    A reader that sends the id of an event first gets what has happened since.
    """
    after, log = _resume_after(context), context.deps.event_log
    if context.request.method == "HEAD":
        return web.StreamResponse(headers=EventSourceResponse().headers)
    # The reader first: what happens while the log is read is in one of the two, and the id shows it.
    with context.deps.events.reader(context.client, context.project) as reader:
        async with (
            log.follow_calls(context.client, context.project),
            sse_response(context.request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream,
        ):
            with suppress(*STREAM_ENDS):
                async for notice in _notices(context, reader, after):
                    if not _is_still_authorized(context):
                        break
                    await stream.send(notice.body, event=notice.name, id=str(notice.id) if notice.id else None)
    return stream


async def _notices(
    context: RequestContext[Empty, Empty], reader: Reader[Notice], after: EventId | None
) -> AsyncIterator[Notice]:
    last = after
    if after is not None:
        async for notice in context.deps.event_log.calls_after(context.client, context.project, after):
            yield notice
            last = notice.id  # none after a gap: `after` may be an id of another store
    async for notice in reader:
        if last is None or notice.id is None or notice.id > last:
            yield notice
            last = notice.id


def _resume_after(context: RequestContext[Empty, Empty]) -> EventId | None:
    given = context.request.headers.get(LAST_EVENT_ID)
    if not given:
        return None
    after = EventId.parse(given)
    if after is None:
        raise BadRequest(f"{LAST_EVENT_ID} must be the id of an event of this stream")
    return after


def _is_still_authorized(context: RequestContext[Empty, Empty]) -> bool:
    """True if the key is still one of the project's. A stream outlives reloads; access with a revoked key must not."""
    project = context.deps.config().find_project(context.client, context.project)
    return project is not None and matches_any(project.api_keys, context.request.headers.get(KEY_HEADER, ""))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/events",
        summary="Calls and handoffs as they happen: call.started, call.answered, handoff.started, handoff.finished and"
        " call.ended, each with the call as its data, of all bridges that share the store. Last-Event-ID resumes",
        handler=stream_events,
        response=Response(200, "An endless stream; the schema describes one event", EventMessage, "text/event-stream"),
        query=Empty,
        body=Empty,
        refuses=(BadRequest,),
    ),
)
