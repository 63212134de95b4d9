"""The project's events as they happen (server-sent events, WHATWG HTML, 9.2)."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from aiohttp_sse import sse_response

from sipbridge.web.answers import EventAnswer
from sipbridge.web.operation import Asked, Nothing, Operation, Reply

PING_SECONDS = 15.0
SEND_SECONDS = 30.0  # a reader that takes nothing for so long is let go


async def stream_events(asked: Asked[Nothing, Nothing]) -> web.StreamResponse:
    """Send events until the reader goes, or is let go."""
    with asked.deps.events.reader(asked.client, asked.project) as reader:
        async with sse_response(asked.request, ping_interval=PING_SECONDS, send_timeout=SEND_SECONDS) as stream:
            with suppress(ConnectionError, TimeoutError):
                async for notice in reader:
                    await stream.send(notice.body, event=notice.name)
    return stream


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/events",
        summary="Calls and handoffs as they happen: call.started, call.answered, handoff.started, handoff.finished and"
        " call.ended, each with the call as its data",
        handler=stream_events,
        reply=Reply(200, "Events, without end; the schema is that of each", EventAnswer, "text/event-stream"),
        query=Nothing,
        body=Nothing,
    ),
)
