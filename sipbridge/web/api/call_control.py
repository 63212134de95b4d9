"""Operations that change a call in progress."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.errors import HandoffConflict, HandoffInvalid, NotFound, RequestRefused
from sipbridge.handoffs.polyai import PolyaiFunctionResult
from sipbridge.handoffs.record import HandoffState, Turn
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.web.api.operation import NO_SUCH_CALL, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import CallAccepted, HandoffAccepted
from sipbridge.web.deps import WebDeps


class Turns(BaseModel):
    """Turns to add to the transcript, oldest first. A body may also be one turn without the list."""

    model_config = ConfigDict(extra="forbid")

    turns: Annotated[list[Turn], Field(min_length=1, max_length=1000)]

    @model_validator(mode="before")
    @classmethod
    def _wrap_lone_turn(cls, body: object) -> object:
        return {"turns": [body]} if isinstance(body, dict) and "role" in body else body


async def hand_off(context: RequestContext[Empty, HandoffRequest]) -> web.Response:
    """Hand the caller off."""
    call = await _live(context)
    record = call.request_handoff(context.body, requested_by="api")
    return json_response(HandoffAccepted(id=record.call_id, state=HandoffState.INITIATED), status=202)


async def hang_up(context: RequestContext[Empty, Empty]) -> web.Response:
    """End the conversation without a handoff."""
    (await _live(context)).request_hangup()
    return _accepted(context)


async def add_turns(context: RequestContext[Empty, Turns]) -> web.Response:
    """Add turns to the transcript."""
    (await _live(context)).add_turns(context.body.turns)
    return _accepted(context)


def _accepted(context: RequestContext[Any, Any]) -> web.Response:
    return json_response(CallAccepted(id=context.call_id), status=202)


def _report_refused_handoff(deps: WebDeps, request: web.Request, refusal: RequestRefused) -> None:
    """Notify the call that a handoff was refused, except if another handoff is in progress."""
    path = request.match_info
    call = deps.directory.find(path["account_id"], path["project_id"], path["call_id"])
    if call is not None and not isinstance(refusal, HandoffConflict):
        call.note_refused_handoff("bad_handoff", refusal.summary)


async def _live(context: RequestContext[Any, Any]) -> LiveCall:
    """Return the call in progress. Raises `HandoffConflict` if it has ended, `NotFound` if it never existed."""
    call = context.deps.directory.find(context.client, context.project, context.call_id)
    if call:
        return call
    if await context.deps.store.get(context.client, context.project, context.call_id):
        raise HandoffConflict("the call has ended")
    raise NotFound(NO_SUCH_CALL)


_CALL = "/v1/{account_id}/{project_id}/calls/{call_id}"

OPERATIONS = (
    Operation(
        method="POST",
        path=f"{_CALL}/handoff",
        summary="Hand the caller off to a human agent",
        handler=hand_off,
        response=Response(202, "The handoff has started", HandoffAccepted),
        query=Empty,
        body=HandoffRequest,
        also=PolyaiFunctionResult,
        refuses=(NotFound, HandoffConflict, HandoffInvalid),
        on_refusal=_report_refused_handoff,
    ),
    Operation(
        method="POST",
        path=f"{_CALL}/hangup",
        summary="End the conversation without a handoff",
        handler=hang_up,
        response=Response(202, "The call is being ended", CallAccepted),
        query=Empty,
        body=Empty,
        refuses=(NotFound, HandoffConflict),
    ),
    Operation(
        method="POST",
        path=f"{_CALL}/turns",
        summary="Add turns to the transcript",
        handler=add_turns,
        response=Response(202, "The turns are added", CallAccepted),
        query=Empty,
        body=Turns,
        also=Turn,
        refuses=(NotFound, HandoffConflict),
    ),
)
