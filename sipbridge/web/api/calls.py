"""The calls of a project, in progress and ended."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.errors import NotFound
from sipbridge.handoffs.record import Timestamp
from sipbridge.web.api.operation import NO_SUCH_CALL, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import CallDetail, CallList, CallSummary


class CallListQuery(BaseModel):
    """The page to return."""

    limit: Annotated[int, Field(ge=1, le=200, description="Maximum number of calls.")] = 50
    before: Annotated[Timestamp, Field(description="Only calls that started earlier (RFC 3339).")] | None = None


async def list_calls(context: RequestContext[CallListQuery, Empty]) -> web.Response:
    """Return live and stored calls in one order, so that `before` pages through them without a gap."""
    deps, limit, before = context.deps, context.query.limit, context.query.before
    stored = await deps.store.list_calls(context.client, context.project, limit=limit, before=before)
    live = [call.record for call in deps.directory.of_project(context.client, context.project)]
    # A live call that was handed off is stored too, and its live record is newer.
    records = {record.call_id: record for record in stored} | {
        record.call_id: record for record in live if before is None or record.started_at < before
    }
    newest = sorted(records.values(), key=lambda record: record.started_at, reverse=True)[:limit]
    return json_response(CallList(calls=[CallSummary.of(record) for record in newest]))


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
