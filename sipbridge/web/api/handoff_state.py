"""The handoff of a call or chat, for CRMs: the one in progress, else the stored one. Also its erasure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, NamedTuple

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import LiveChat
from sipbridge.chats.request import CHAT_ID_PATTERN
from sipbridge.errors import BadRequest, NotFound, StoreError
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import HandoffStateResponse
from sipbridge.web.deps import WebDeps
from sipbridge.web.server.errors import CallInProgress, OwnerUnavailable

_NO_ID = "give id or shared_id"
_IN_PROGRESS = "the call or chat is in progress; erase its record when it has ended"


class HandedOff(NamedTuple):
    """A call or chat, and its handoff."""

    record: CallRecord | ChatRecord
    handoff: HandoffRecord


class HandoffStateQuery(BaseModel):
    """The call or chat, by `shared_id` or else by `id`."""

    id: Annotated[str, Field(pattern=f"^{CHAT_ID_PATTERN}$", description="The call id or chat id.")] | None = None
    shared_id: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=256,
                description="The contact id or chat id unless the agent set another; selects the newest that has it.",
            ),
        ]
        | None
    ) = None


async def get_handoff_state(context: RequestContext[HandoffStateQuery, Empty]) -> web.Response:
    """Return the handoff of the call or chat that the query selects."""
    query, deps = context.query, context.deps
    if query.shared_id is not None:
        return handoff_response(await _find_shared(deps, context.client, context.project, query.shared_id))
    if query.id is not None:
        return handoff_response(await find_handoff(deps, context.client, context.project, query.id))
    raise BadRequest(_NO_ID)


async def delete_handoff_state(context: RequestContext[HandoffStateQuery, Empty]) -> web.Response:
    """Erase the record of the call or chat with that id, or all with that shared id, handed off or not."""
    query, deps = context.query, context.deps
    owner = (context.client, context.project)
    directories, stores = (deps.directory, deps.chats.directory), (deps.store, deps.chats.store)
    if query.shared_id is not None:
        _reject_if_in_progress([each.find_shared(*owner, query.shared_id) for each in directories])
        erased = await _erased_by_others(context)
        erased += sum([await each.delete_shared(*owner, query.shared_id) for each in stores])
    elif query.id is not None:
        _reject_if_in_progress([each.find(*owner, query.id) for each in directories])
        erased = await _erased_by_others(context)
        erased += sum([await each.delete(*owner, query.id) for each in stores])
    else:
        raise BadRequest(_NO_ID)
    if not erased:
        raise NotFound("no such record")
    return web.Response(status=204)


async def _erased_by_others(context: RequestContext[HandoffStateQuery, Empty]) -> int:
    """Let each other node erase what it has, also in memory; return how many of them had something.

    Raises `CallInProgress` if one carries the call or chat, and `OwnerUnavailable` if one does not respond, as it may
    write the record later.
    """
    forwarder = context.forwarder
    responses = await forwarder.ask_others(context.request) if forwarder else []
    statuses = [response.status if response else None for response in responses]
    if HTTPStatus.CONFLICT in statuses:
        raise CallInProgress(_IN_PROGRESS)
    if not {*statuses} <= {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
        raise OwnerUnavailable("a bridge that may have such a record does not respond; try again")
    return statuses.count(HTTPStatus.NO_CONTENT)


async def find_handoff(deps: WebDeps, client: str, project: str, record_id: str) -> HandedOff:
    """Return the call or chat with that id: the one in progress, else the stored one. Raises `NotFound`."""
    chat = deps.chats.directory.find(client, project, record_id)
    found = (
        _in_handoff(deps.directory.find(client, project, record_id))
        or (chat.record if chat else None)
        or await deps.store.get(client, project, record_id)
        or await deps.chats.store.get(client, project, record_id)
    )
    return _handed_off_only(found)


async def _find_shared(deps: WebDeps, client: str, project: str, shared_id: str) -> HandedOff:
    """Return the newest call or chat that was handed off with that shared id.

    Raises `NotFound`, or `StoreError` if a store cannot be read and none is elsewhere: a call of this node, as a rule.
    """
    live_chat = deps.chats.directory.find_shared(client, project, shared_id)
    live_call = _in_handoff(deps.directory.find_shared(client, project, shared_id))
    found: list[CallRecord | ChatRecord] = []
    failure: StoreError | None = None
    for live, store in ((live_call, deps.store), (live_chat.record if live_chat else None, deps.chats.store)):
        try:
            record = live or await store.get_shared(client, project, shared_id)
        except StoreError as error:
            failure = error
        else:
            found += [record] if record is not None and record.handoff is not None else []
    if failure and not found:
        raise failure
    return _handed_off_only(max(found, key=lambda record: record.started_at, default=None))


def _in_handoff(call: LiveCall | None) -> CallRecord | None:
    """Return the record of a call in progress if its handoff has started."""
    record = call.record if call else None
    return record if record and record.handoff else None


def _handed_off_only(record: CallRecord | ChatRecord | None) -> HandedOff:
    if record is None or record.handoff is None:
        raise NotFound("no such handoff")
    return HandedOff(record, record.handoff)


def _reject_if_in_progress(found: Sequence[LiveCall | LiveChat | None]) -> None:
    if any(each is not None for each in found):
        raise CallInProgress(_IN_PROGRESS)


def handoff_response(found: HandedOff) -> web.Response:
    """Return a handoff as JSON."""
    if isinstance(found.record, ChatRecord):
        return json_response(HandoffStateResponse.of_chat(found.record))
    return json_response(HandoffStateResponse.of(found.record, found.handoff))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/{account_id}/{project_id}/handoff_state",
        summary="The handoff of a call or chat, by its id or by shared id",
        handler=get_handoff_state,
        response=Response(200, "The handoff", HandoffStateResponse),
        query=HandoffStateQuery,
        body=Empty,
        refuses=(NotFound,),
    ),
    Operation(
        method="DELETE",
        path="/v1/{account_id}/{project_id}/handoff_state",
        summary="Erase the record of a call or chat permanently; with `shared_id`, those of all that have it",
        handler=delete_handoff_state,
        response=Response(204, "The record is erased", media_type=""),
        query=HandoffStateQuery,
        body=Empty,
        refuses=(NotFound, CallInProgress, OwnerUnavailable),
    ),
)
