"""The declaration of an API operation. Routes and the OpenAPI document are both built from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from sipbridge.chats.request import CHAT_ID_PATTERN
from sipbridge.errors import BadRequest, InvalidApiKey, KeyOfAnotherProject, NotFound, RequestRefused
from sipbridge.web.api.owned import response_of_owner
from sipbridge.web.deps import WebDeps
from sipbridge.web.server.auth import Access, Authenticator
from sipbridge.web.server.errors import AdminNotLocal, BoxTokenInvalid, OwnerUnavailable, TooManyRequests
from sipbridge.web.server.forwarding import Forwarder
from sipbridge.web.server.pacing import PACER
from sipbridge.web.server.request_parsing import BODY_REFUSALS, read_body, read_query
from sipbridge.web.server.security_headers import NO_STORE

Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)

CALL_ID_PATTERN = r"[A-Za-z0-9-]{1,64}"
NO_SUCH_CALL = "this project has no such call"
NO_SUCH_CHAT = "this project has no such chat"

_REFUSALS_OF_ACCESS: dict[Access, tuple[type[RequestRefused], ...]] = {
    Access.PUBLIC: (),
    Access.PROJECT: (InvalidApiKey, KeyOfAnotherProject, TooManyRequests),
    Access.CHAT_STREAM: (InvalidApiKey, KeyOfAnotherProject, TooManyRequests),
    Access.ADMIN: (InvalidApiKey, AdminNotLocal, TooManyRequests),
    Access.ADMIN_PAGE: (AdminNotLocal,),
    Access.BOX: (BoxTokenInvalid, TooManyRequests),
    Access.BOX_CREDENTIALS: (BoxTokenInvalid, TooManyRequests),
}


class Empty(BaseModel):
    """No query, or no body. If a request has one all the same, it is ignored."""


@dataclass(frozen=True, slots=True)
class RequestContext(Generic[Q, B]):
    """An authorized request, with its query and body. `client` and `project` are empty if the path names none."""

    deps: WebDeps
    request: web.Request
    client: str
    project: str
    query: Q
    body: B

    @property
    def forwarder(self) -> Forwarder | None:
        """The way to the other nodes, if there are any and none of them has sent this request."""
        forwarder = self.deps.forwarder
        return None if forwarder is None or forwarder.was_forwarded(self.request) else forwarder

    @property
    def call_id(self) -> str:
        """The call id in the path."""
        return self.request.match_info["call_id"]

    @property
    def chat_id(self) -> str:
        """The chat id in the path."""
        return self.request.match_info["chat_id"]


@dataclass(frozen=True, slots=True)
class Response:
    """The response of an operation that succeeds: JSON of a model, or text of a media type. "" means no body."""

    status: int
    description: str
    model: type[BaseModel] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, B]):
    """One method of one path.

    `also` is a second form of the body, which the model of `body` reads too. `on_refusal` is notified of each refusal
    of a request with a valid key. A `page` is HTML, for people; if it is not for administrators, the sites of
    `http.frame_ancestors` may show it in a frame, and a request that prefers JSON gets that. `cache` is the
    Cache-Control of a 200. `paced` requests, of which hundreds may come in the same moment, are served one per turn of
    the event loop.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    handler: Callable[[RequestContext[Q, B]], Awaitable[web.StreamResponse]]
    response: Response
    query: type[Q]
    body: type[B]
    access: Access = Access.PROJECT
    also: type[BaseModel] | None = None
    refuses: tuple[type[RequestRefused], ...] = ()
    on_refusal: Callable[[WebDeps, web.Request, RequestRefused], None] | None = None
    page: bool = False
    cache: str = NO_STORE
    paced: bool = False

    @property
    def name(self) -> str:
        """The operation's id in the OpenAPI document: the name of its handler."""
        return self.handler.__name__

    @property
    def routes(self) -> list[tuple[str, str]]:
        """Methods and paths. GET includes HEAD (RFC 9110, 9.1); a slash at the end is the same resource."""
        methods = ("GET", "HEAD") if self.method == "GET" else (self.method,)
        return [(method, path) for path in (self.path, f"{self.path}/") for method in methods]

    @property
    def needs_key(self) -> bool:
        """True if the operation needs a project's key or an admin key."""
        return self.access in (Access.PROJECT, Access.CHAT_STREAM, Access.ADMIN)

    @property
    def for_admin(self) -> bool:
        """True if the operation is for administrators, and served only if they have keys."""
        return self.access in (Access.ADMIN, Access.ADMIN_PAGE)

    @property
    def refusals(self) -> tuple[type[RequestRefused], ...]:
        """All errors that a request may get, those before the handler included."""
        access = _REFUSALS_OF_ACCESS[self.access]
        query = (BadRequest,) if self.query.model_fields else ()
        body = BODY_REFUSALS if self.body.model_fields else ()
        has_owner = "{call_id}" in self.path or ("{chat_id}" in self.path and self.method == "POST")
        owner = (OwnerUnavailable,) if has_owner else ()
        return tuple(dict.fromkeys((*access, *query, *body, *self.refuses, *owner)))

    def serve(
        self, deps: WebDeps, authenticator: Authenticator
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler that aiohttp calls."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self.paced:
                await request.app[PACER].next_turn()
            with authenticator.admit(self.access, request):
                return await self._serve(request, deps)

        return handle

    async def _serve(self, request: web.Request, deps: WebDeps) -> web.StreamResponse:
        try:
            context = await self._read(request, deps)
            if deps.forwarder is not None:
                owned = await response_of_owner(deps, deps.forwarder, request, context.client, context.project)
                if owned is not None:
                    return owned
            return await self.handler(context)
        except RequestRefused as refusal:
            if self.on_refusal is not None:
                self.on_refusal(deps, request, refusal)
            raise

    async def _read(self, request: web.Request, deps: WebDeps) -> RequestContext[Q, B]:
        path = request.match_info
        client, project = path.get("account_id", ""), path.get("project_id", "")
        if "call_id" in path and not re.fullmatch(CALL_ID_PATTERN, path["call_id"]):
            raise NotFound(NO_SUCH_CALL)
        if "chat_id" in path and not re.fullmatch(CHAT_ID_PATTERN, path["chat_id"]):
            raise NotFound(NO_SUCH_CHAT)
        query = read_query(self.query, request)
        body = await read_body(self.body, request)
        return RequestContext(deps, request, client, project, query, body)


AnyOperation = Operation[Any, Any]


def json_response(body: BaseModel, status: int = 200) -> web.Response:
    """Make a JSON response."""
    return web.Response(body=body.model_dump_json().encode(), status=status, content_type="application/json")
