"""The handoff of a call, for screen-pops: that of the call in progress, else that in the store. Also its erasure."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports import LiveCall
from sipbridge.errors import BadRequest, NotFound
from sipbridge.web.api.operation import CALL_ID_PATTERN, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import HandoffStateResponse
from sipbridge.web.deps import WebDeps
from sipbridge.web.server.errors import CallInProgress, InvalidLink


class HandoffStateQuery(BaseModel):
    """The call, by `shared_id` or else by `id`."""

    id: Annotated[str, Field(pattern=f"^{CALL_ID_PATTERN}$", description="The call id.")] | None = None
    shared_id: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=256,
                description="The contact id unless the agent set another one; selects the newest call that has it.",
            ),
        ]
        | None
    ) = None


async def get_handoff_state(context: RequestContext[HandoffStateQuery, Empty]) -> web.Response:
    """Return the handoff of the call that the query selects."""
    query, deps = context.query, context.deps
    if query.shared_id is not None:
        live = deps.directory.find_shared(context.client, context.project, query.shared_id)
        record = _handed_off(live) or await deps.store.get_shared(context.client, context.project, query.shared_id)
    elif query.id is not None:
        record = await _find(deps, context.client, context.project, query.id)
    else:
        raise BadRequest("give id or shared_id")
    return _response(record)


async def delete_handoff_state(context: RequestContext[HandoffStateQuery, Empty]) -> web.Response:
    """Erase the record of the call with that id, or all records with that shared id, handed off or not."""
    query, deps = context.query, context.deps
    if query.shared_id is not None:
        _reject_if_in_progress(deps.directory.find_shared(context.client, context.project, query.shared_id))
        erased: int = await deps.store.delete_shared(context.client, context.project, query.shared_id)
    elif query.id is not None:
        _reject_if_in_progress(deps.directory.find(context.client, context.project, query.id))
        erased = await deps.store.delete(context.client, context.project, query.id)
    else:
        raise BadRequest("give id or shared_id")
    if not erased:
        raise NotFound("no such record")
    return web.Response(status=204)


async def get_pop(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the handoff of the call that the link names."""
    target = context.deps.pop_links.verify(context.request.match_info["token"])
    return _response(await _find(context.deps, target.client, target.project, target.call_id))


async def _find(deps: WebDeps, client: str, project: str, call_id: str) -> CallRecord | None:
    return _handed_off(deps.directory.find(client, project, call_id)) or await deps.store.get(client, project, call_id)


def _handed_off(call: LiveCall | None) -> CallRecord | None:
    """Return the record of a call in progress if its handoff has started."""
    record = call.record if call else None
    return record if record and record.handoff else None


def _reject_if_in_progress(call: LiveCall | None) -> None:
    if call is not None:
        raise CallInProgress("the call is in progress; erase its record when it has ended")


def _response(record: CallRecord | None) -> web.Response:
    if record is None or record.handoff is None:
        raise NotFound("no such handoff")
    return json_response(HandoffStateResponse.of(record, record.handoff))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/handoff_state",
        summary="The handoff of a call, by call id or by shared id",
        handler=get_handoff_state,
        response=Response(200, "The handoff", HandoffStateResponse),
        query=HandoffStateQuery,
        body=Empty,
        refuses=(NotFound,),
    ),
    Operation(
        method="DELETE",
        path="/v1/{account_id}/{project_id}/handoff_state",
        summary="Erase the record of a call permanently; with `shared_id`, those of all calls that have it",
        handler=delete_handoff_state,
        response=Response(204, "The record is erased", media_type=""),
        query=HandoffStateQuery,
        body=Empty,
        refuses=(NotFound, CallInProgress),
    ),
    Operation(
        method="GET",
        path="/pop/{token}",
        summary="The handoff that a signed link names, for a screen-pop without a key",
        handler=get_pop,
        response=Response(200, "The handoff", HandoffStateResponse),
        query=Empty,
        body=Empty,
        refuses=(InvalidLink, NotFound),
        frameable=True,
    ),
)
