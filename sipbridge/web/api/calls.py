"""The calls of a project, live and ended."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.errors import NotFound
from sipbridge.handoffs.record import Timestamp
from sipbridge.web.api.operation import NO_SUCH_CALL, Asked, Nothing, Operation, Reply, json_answer
from sipbridge.web.api.schemas import CallDetail, CallList, CallSummary


class CallListQuery(BaseModel):
    """Which page."""

    limit: Annotated[int, Field(ge=1, le=200, description="At most so many calls.")] = 50
    before: Annotated[Timestamp, Field(description="Calls that started before then (RFC 3339).")] | None = None


async def list_calls(asked: Asked[CallListQuery, Nothing]) -> web.Response:
    """Answer with live and stored calls in one order, so that `before` pages through them without a gap."""
    deps, limit, before = asked.deps, asked.query.limit, asked.query.before
    stored = await deps.store.list_calls(asked.client, asked.project, limit=limit, before=before)
    live = [call.record for call in deps.directory.of_project(asked.client, asked.project)]
    # A live call that was handed off is stored too; what is live is newer.
    records = {record.call_id: record for record in stored} | {
        record.call_id: record for record in live if before is None or record.started_at < before
    }
    newest = sorted(records.values(), key=lambda record: record.started_at, reverse=True)[:limit]
    return json_answer(CallList(calls=[CallSummary.of(record) for record in newest]))


async def get_call(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Answer with one call and its transcript."""
    live = asked.deps.directory.find(asked.client, asked.project, asked.call_id)
    record = live.record if live else await asked.deps.store.get(asked.client, asked.project, asked.call_id)
    if record is None:
        raise NotFound(NO_SUCH_CALL)
    return json_answer(CallDetail.of(record))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/calls",
        summary="Live and ended calls, newest first; `before` the last one's `started_at` gives the next page",
        handler=list_calls,
        reply=Reply(200, "The calls", CallList),
        query=CallListQuery,
        body=Nothing,
    ),
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/calls/{call_id}",
        summary="One call, with its transcript",
        handler=get_call,
        reply=Reply(200, "The call", CallDetail),
        query=Nothing,
        body=Nothing,
        refuses=(NotFound,),
    ),
)
