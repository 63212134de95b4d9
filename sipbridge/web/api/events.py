"""The project's events as they happen (server-sent events, WHATWG HTML, 9.2)."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from sipbridge.config import matches_any
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response
from sipbridge.web.api.schemas import EventMessage
from sipbridge.web.server.auth import KEY_HEADER

PING_SECONDS = 15.0
SEND_SECONDS = 30.0  # a reader that reads nothing for this long is disconnected


async def stream_events(context: RequestContext[Empty, Empty]) -> web.StreamResponse:
    """Send events until the reader disconnects, is too slow, or its key is revoked. HEAD gets the headers only."""
    if context.request.method == "HEAD":
        return web.StreamResponse(headers=EventSourceResponse().headers)
    with context.deps.events.reader(context.client, context.project) as reader:
        async with sse_response(context.request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream:
            with suppress(ConnectionError, TimeoutError):
                async for notice in reader:
                    if not _is_still_authorized(context):
                        break
                    await stream.send(notice.body, event=notice.name)
    return stream


def _is_still_authorized(context: RequestContext[Empty, Empty]) -> bool:
    """True if the key is still one of the project's. A stream outlives reloads; access with a revoked key must not."""
    project = context.deps.config().find_project(context.client, context.project)
    return project is not None and matches_any(project.api_keys, context.request.headers.get(KEY_HEADER, ""))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/events",
        summary="Calls and handoffs as they happen: call.started, call.answered, handoff.started, handoff.finished and"
        " call.ended, each with the call as its data",
        handler=stream_events,
        response=Response(200, "An endless stream; the schema describes one event", EventMessage, "text/event-stream"),
        query=Empty,
        body=Empty,
    ),
)
