"""The calls of a project, in progress and ended."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.errors import NotFound
from sipbridge.handoffs.record import Timestamp
from sipbridge.web.api.operation import NO_SUCH_CALL, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import CallDetail, CallList, CallSummary
from sipbridge.web.server.forwarding import Forwarder


class CallListQuery(BaseModel):
    """The page to return."""

    limit: Annotated[int, Field(ge=1, le=200, description="Maximum number of calls.")] = 50
    before: Annotated[Timestamp, Field(description="Only calls that started earlier (RFC 3339).")] | None = None


async def list_calls(context: RequestContext[CallListQuery, Empty]) -> web.Response:
    """Return live and stored calls in one order, so that `before` pages through them without a gap.

    Another node that asks gets the live calls of this one. One that does not respond is left out: its calls are found
    again once they are stored or taken over.
    """
    limit, before = context.query.limit, context.query.before
    live = [call.record for call in context.deps.directory.of_project(context.client, context.project)]
    found = [CallSummary.of(record) for record in live if before is None or record.started_at < before]
    if (forwarder := context.forwarder) is not None:
        found += await _live_on_others(context.request, forwarder)
    calls = {call.id: call for call in found}
    if context.deps.forwarder is None or forwarder is not None:
        stored = await context.deps.store.list_calls(context.client, context.project, limit=limit, before=before)
        # A live call that was handed off is stored too, and its live record is newer.
        calls = {record.call_id: CallSummary.of(record) for record in stored} | calls
    newest = sorted(calls.values(), key=lambda call: call.started_at, reverse=True)[:limit]
    return json_response(CallList(calls=newest))


async def _live_on_others(request: web.Request, forwarder: Forwarder) -> list[CallSummary]:
    responses = await forwarder.ask_others(request)
    bodies = [response.body for response in responses if response is not None and response.status == HTTPStatus.OK]
    return [call for body in bodies for call in CallList.model_validate_json(body).calls]


async def get_call(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return one call with its transcript."""
    live = context.deps.directory.find(context.client, context.project, context.call_id)
    record = live.record if live else await context.deps.store.get(context.client, context.project, context.call_id)
    if record is None:
        raise NotFound(NO_SUCH_CALL)
    return json_response(CallDetail.of(record))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/calls",
        summary="Live and ended calls, newest first; for the next page, `before` is the last call's `started_at`",
        handler=list_calls,
        response=Response(200, "The calls", CallList),
        query=CallListQuery,
        body=Empty,
    ),
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/calls/{call_id}",
        summary="One call with its transcript",
        handler=get_call,
        response=Response(200, "The call", CallDetail),
        query=Empty,
        body=Empty,
        refuses=(NotFound,),
    ),
)
