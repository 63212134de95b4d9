"""The requests that need the node that carries a call or chat: sent on to it if that is another one.

Reads of chats need no owner, as each step of a chat is in the store; reads of calls in progress do.
What has ended needs none either.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from sipbridge.calls.model import CallState
from sipbridge.http import Response
from sipbridge.web.deps import WebDeps
from sipbridge.web.server.errors import BoxNotReady, OwnerUnavailable
from sipbridge.web.server.forwarding import Forwarder, passed_back


async def response_of_owner(
    deps: WebDeps, forwarder: Forwarder, request: web.Request, client: str, project: str
) -> web.Response | None:
    """Return the response of the other node that carries the call or chat in the path; None if this one responds.

    Raises `OwnerUnavailable`, and what `Forwarder.was_forwarded` raises.
    """
    if forwarder.was_forwarded(request):
        return None
    if (call_id := request.match_info.get("call_id")) is not None:
        return await _of_call(deps, forwarder, request, (client, project, call_id))
    if (chat_id := request.match_info.get("chat_id")) is not None and request.method == "POST":
        return await _of_chat(deps, forwarder, request, (client, project, chat_id))
    return None


async def response_of_others(deps: WebDeps, request: web.Request, seconds: float) -> web.Response | None:
    """Return the response of the other node that has what the path names; None if none has it.

    Another node's refusal counts only if none succeeds: a node that recovers its chats may have it, but does not know.
    Raises `BoxNotReady` if a node that may have it does not respond within `seconds`.
    """
    if deps.forwarder is None or deps.forwarder.was_forwarded(request):
        return None
    responses = await deps.forwarder.ask_others(request, seconds=seconds, is_last=_is_success)
    for response in responses:
        if response is not None and response.status != HTTPStatus.NOT_FOUND:
            return passed_back(response)
    if None in responses:
        raise BoxNotReady("a bridge that may have the chat does not respond; try again in a moment")
    return None


def _is_success(response: Response) -> bool:
    return response.status < HTTPStatus.MULTIPLE_CHOICES


async def _of_call(
    deps: WebDeps, forwarder: Forwarder, request: web.Request, call: tuple[str, str, str]
) -> web.Response | None:
    if deps.directory.find(*call) is not None:
        return None
    try:
        return await forwarder.forward(request, forwarder.nodes.owner_of_call(call[-1]))
    except OwnerUnavailable:
        record = await deps.store.get(*call)
        if record is None or record.state is not CallState.ENDED:
            raise
        return None


async def _of_chat(
    deps: WebDeps, forwarder: Forwarder, request: web.Request, chat: tuple[str, str, str]
) -> web.Response | None:
    if deps.chats.directory.find(*chat) is not None:
        return None
    try:
        return await forwarder.forward(request, forwarder.nodes.owner_of_chat(*chat))
    except OwnerUnavailable:
        record = await deps.chats.store.get(*chat)
        if record is None or not record.state.is_final:
            raise
        return None
