"""The box of a bring-your-own channel: what CXone calls to get a token, and to pass on what the human agent does.

Source: NICE's developer pages on bring-your-own channels, and public integrations. CXone appends the paths below to the
URL of the box. Its first call comes without a token; the 401 makes it fetch one and repeat the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from sipbridge.chats.ports import BOX_SECONDS, BoxMessage, ChannelBox
from sipbridge.errors import BadRequest, HttpWithheld, NotFound
from sipbridge.web.api.operation import B, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.owned import response_of_others
from sipbridge.web.server.auth import Access
from sipbridge.web.server.errors import BoxNotReady, BoxTokenInvalid
from sipbridge.web.server.forwarding import FORWARD_SECONDS
from sipbridge.web.server.guesses import GUESSES
from sipbridge.web.server.sources import source_of

_MESSAGE_SECONDS = BOX_SECONDS + FORWARD_SECONDS
_NO_SUCH_THREAD = "no chat in progress has this thread"


class TokenRequest(BaseModel):
    """The request of a token (RFC 6749, section 4.4), as CXone sends it: JSON."""

    model_config = ConfigDict(extra="allow")

    grant_type: str = ""
    client_id: str = ""
    client_secret: str = ""


class TokenResponse(BaseModel):
    """The token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int


def _object(value: object) -> object:
    return value if isinstance(value, dict) else None


def _list(value: object) -> object:
    return value if isinstance(value, list) else None


# Of another type, which an empty object of CXone may have, they count as missing: the message must not be lost for it.
LenientObject = Annotated[dict[str, Any] | None, BeforeValidator(_object, json_schema_input_type=Any)]
LenientList = Annotated[list[Any] | None, BeforeValidator(_list, json_schema_input_type=Any)]


class OutboundMessage(BaseModel):
    """A message of the human agent. CXone sends more fields than the bridge needs."""

    model_config = ConfigDict(extra="allow")

    thread: LenientObject = None
    messageContent: dict[str, Any] | None = None  # noqa: N815 (CXone's name)
    attachments: LenientList = None
    endUserRecipients: LenientList = None  # noqa: N815 (the same)
    authorUser: LenientObject = None  # noqa: N815 (the same)


class OutboundAccepted(BaseModel):
    """The ids of the message that was taken."""

    message: dict[str, str]
    thread: dict[str, str]
    endUserIdentities: list[Any]  # noqa: N815 (CXone's name)
    recipients: list[Any]


class PostAccepted(BaseModel):
    """The id of the message that was taken, in the older form."""

    idOnExternalPlatform: str  # noqa: N815 (CXone's name)


class TypingAction(BaseModel):
    """An act of the human agent at the keyboard."""

    model_config = ConfigDict(extra="allow")

    action: Literal["isTypingOn", "isTypingOff"]


class SenderAction(BaseModel):
    """The human agent started or stopped typing."""

    model_config = ConfigDict(extra="allow")

    senderAction: TypingAction  # noqa: N815 (CXone's name)


async def issue_box_token(context: RequestContext[Empty, TokenRequest]) -> web.Response:
    """Give CXone a token for the credentials of the box."""
    body = context.body
    if body.grant_type != "client_credentials":
        raise BadRequest("grant_type must be client_credentials")
    guesses, source = context.request.app[GUESSES], source_of(context.request.remote)
    guess = guesses.check(source, body.client_id, body.client_secret)
    box = _box(context)
    issued = box.issue_token(body.client_id, body.client_secret) if box else None
    if issued is None:
        raise BoxTokenInvalid("no box with this URL has this client_id and client_secret")
    guesses.record_valid(source, guess)
    token, seconds = issued
    return json_response(TokenResponse(access_token=token, token_type="Bearer", expires_in=seconds))  # noqa: S106 (the type of the token)


Handler = Callable[[RequestContext[Empty, B]], Awaitable[web.Response]]


def _at_any_node(seconds: float = FORWARD_SECONDS) -> Callable[[Handler[B]], Handler[B]]:
    """Let the other bridges respond if this one has no chat with the thread: CXone knows one URL for all of them.

    Each may take `seconds`. If one took a message later than that, CXone would show it as not sent.
    """

    def decorate(handler: Handler[B]) -> Handler[B]:
        @wraps(handler)
        async def handle(context: RequestContext[Empty, B]) -> web.Response:
            try:
                return await handler(context)
            except (NotFound, BoxNotReady):
                elsewhere = await response_of_others(context.deps, context.request, seconds)
                if elsewhere is None:
                    raise
                return elsewhere

        return handle

    return decorate


@_at_any_node(_MESSAGE_SECONDS)
async def take_outbound(context: RequestContext[Empty, OutboundMessage]) -> web.Response:
    """Take a message of the human agent; respond once it is stored."""
    thread_id, taken = await _take(context)
    at = taken.at.isoformat(timespec="milliseconds")
    return json_response(
        OutboundAccepted(
            message={"idOnExternalPlatform": taken.id, "createdAtWithMilliseconds": at, "url": ""},
            thread={"idOnExternalPlatform": thread_id},
            endUserIdentities=[],
            recipients=context.body.endUserRecipients or [],
        )
    )


@_at_any_node(_MESSAGE_SECONDS)
async def take_post(context: RequestContext[Empty, OutboundMessage]) -> web.Response:
    """Take a message of the human agent in the older form, which CXone uses without "DFO 3.0 Outbound API"."""
    _, taken = await _take(context)
    return json_response(PostAccepted(idOnExternalPlatform=taken.id))


@_at_any_node()
async def take_sender_action(context: RequestContext[Empty, SenderAction]) -> web.Response:
    """Pass on that the human agent types."""
    box = _authorized_box(context)
    is_on = context.body.senderAction.action == "isTypingOn"
    if not box.show_typing(context.request.match_info["thread_id"], on=is_on):
        raise _not_found(context)
    return web.Response(status=204)


@_at_any_node()
async def release_thread(context: RequestContext[Empty, Empty]) -> web.Response:
    """End a chat: a Studio script calls this when the human agent has closed the contact."""
    if not _authorized_box(context).release(context.request.match_info["thread_id"]):
        raise _not_found(context)
    return web.Response(status=204)


async def _take(context: RequestContext[Empty, OutboundMessage]) -> tuple[str, BoxMessage]:
    """Give a message to its chat; return the thread too. The older form may name the thread in the path only."""
    box = _authorized_box(context)
    thread = context.body.thread or {}
    thread_id = str(thread.get("idOnExternalPlatform") or context.request.match_info.get("post_id", ""))
    try:
        taken = await box.take_message(thread_id, context.body.model_dump())
    except TimeoutError:
        raise BoxNotReady("the message could not be stored in time; send it again") from None
    except HttpWithheld:
        raise BoxNotReady("another bridge may have the chat; send the message again") from None
    if taken is None:
        raise _not_found(context)
    return thread_id, taken


def _box(context: RequestContext[Any, Any]) -> ChannelBox | None:
    return context.deps.chats.box(context.client, context.project, context.request.match_info["channel"])


def _authorized_box(context: RequestContext[Any, Any]) -> ChannelBox:
    """Return the box whose token the request has. A reload may have removed it since then."""
    box = _box(context)
    if box is None:
        raise _not_found(context)
    return box


def _not_found(context: RequestContext[Any, Any]) -> Exception:
    """Return the error for an unknown thread. It may be that of a chat which is not back yet, or which moves."""
    if not context.deps.chats.recovered():
        return BoxNotReady("chats are being recovered; try again in a moment")
    return NotFound(_NO_SUCH_THREAD)


_BOX = "/byoc/{account_id}/{project_id}/{channel}"
_REFUSES = (NotFound, BoxNotReady)

OPERATIONS = (
    Operation(
        method="POST",
        path=f"{_BOX}/1.0/token",
        summary="A token for CXone, by the credentials of the box",
        handler=issue_box_token,
        response=Response(200, "The token", TokenResponse),
        query=Empty,
        body=TokenRequest,
        access=Access.BOX_CREDENTIALS,
    ),
    Operation(
        method="POST",
        path=f"{_BOX}/2.0/channel/{{channel_id}}/outbound",
        summary="A message of the human agent, from CXone",
        handler=take_outbound,
        response=Response(200, "The message is stored", OutboundAccepted),
        query=Empty,
        body=OutboundMessage,
        access=Access.BOX,
        refuses=_REFUSES,
    ),
    Operation(
        method="POST",
        path=f"{_BOX}/1.0/posts/{{post_id}}/messages",
        summary="A message of the human agent in the older form, from CXone",
        handler=take_post,
        response=Response(200, "The message is stored", PostAccepted),
        query=Empty,
        body=OutboundMessage,
        access=Access.BOX,
        refuses=_REFUSES,
    ),
    Operation(
        method="POST",
        path=f"{_BOX}/1.0/channel/{{channel_id}}/thread/{{thread_id}}/sender-action",
        summary="The human agent types, from CXone",
        handler=take_sender_action,
        response=Response(204, "It is passed on", media_type=""),
        query=Empty,
        body=SenderAction,
        access=Access.BOX,
        refuses=_REFUSES,
    ),
    Operation(
        method="POST",
        path=f"{_BOX}/1.0/channel/{{channel_id}}/thread/{{thread_id}}/release",
        summary="The end of a chat, from a Studio script",
        handler=release_thread,
        response=Response(204, "The chat is being ended", media_type=""),
        query=Empty,
        body=Empty,
        access=Access.BOX,
        refuses=_REFUSES,
    ),
)
