"""The two applications: their routes, and what all responses have in common."""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus

from aiohttp import web

from sipbridge.web.api import (
    admin,
    admin_activity,
    admin_page,
    box,
    call_control,
    calls,
    chat_events,
    chats,
    events,
    handoff_state,
    health,
    openapi,
    pop_events,
    screen_pop,
)
from sipbridge.web.api.operation import AnyOperation
from sipbridge.web.api.webhooks import WEBHOOKS, Webhook
from sipbridge.web.deps import WebDeps
from sipbridge.web.server.auth import Authenticator
from sipbridge.web.server.cors import Cors
from sipbridge.web.server.error_handling import handle_errors
from sipbridge.web.server.guesses import GUESSES, Guesses
from sipbridge.web.server.pacing import PACER, Pacer
from sipbridge.web.server.request_parsing import MAX_BODY_BYTES
from sipbridge.web.server.security_headers import NO_STORE, NOTHING, add_security_headers, page_policy
from sipbridge.web.server.slots import SLOTS, Slots

# In the order in which aiohttp tries their paths: first those of chats, as each message is a request.
OPERATIONS: tuple[AnyOperation, ...] = (
    *chats.OPERATIONS,
    *chat_events.OPERATIONS,
    *handoff_state.OPERATIONS,
    *screen_pop.OPERATIONS,
    *pop_events.OPERATIONS,
    *calls.OPERATIONS,
    *call_control.OPERATIONS,
    *events.OPERATIONS,
    *box.OPERATIONS,
    *health.OPERATIONS,
    *openapi.OPERATIONS,
)
ADMIN_OPERATIONS: tuple[AnyOperation, ...] = (
    *admin.OPERATIONS,
    *admin_activity.OPERATIONS,
    *admin_page.OPERATIONS,
)


def make_app(deps: WebDeps) -> web.Application:
    """Build the API. It includes the admin operations if they have keys and no listener of their own.

    Start it once, on the event loop that `deps` belongs to.
    """
    http = deps.config().http
    with_admin = bool(http.admin.keys) and http.admin.listen is None
    operations = (*ADMIN_OPERATIONS, *OPERATIONS) if with_admin else OPERATIONS
    for_admin = (operation.path for operation in operations if operation.for_admin)
    cors = Cors(lambda: deps.config().http.allowed_origins, without=for_admin)
    app = _make(deps, operations, http.public_url, cors, WEBHOOKS, admin_from_anywhere=False)

    async def close_event_streams(_: web.Application) -> None:
        deps.events.close()
        deps.pages.close()
        deps.chats.feed.close()

    app.on_shutdown.append(close_event_streams)
    return app


def make_admin_app(deps: WebDeps) -> web.Application:
    """Build the application of `http.admin.listen`, which has the admin operations only."""
    url = f"http://{deps.config().http.admin.listen}"
    operations = (*ADMIN_OPERATIONS, *openapi.OPERATIONS)
    return _make(deps, operations, url, Cors(tuple), (), admin_from_anywhere=True)


def _make(
    deps: WebDeps,
    operations: tuple[AnyOperation, ...],
    url: str,
    cors: Cors,
    webhooks: tuple[Webhook, ...],
    *,
    admin_from_anywhere: bool,
) -> web.Application:
    app = web.Application(middlewares=[handle_errors, cors.handle_preflight], client_max_size=MAX_BODY_BYTES)
    app[openapi.DOCUMENT] = partial(openapi.serialize, operations, url, webhooks)
    app[GUESSES], app[SLOTS], app[PACER] = Guesses(time.monotonic), Slots(), Pacer()
    authenticator = Authenticator(
        deps.config,
        deps.directory,
        deps.chats.directory,
        deps.chats.box,
        app[GUESSES],
        app[SLOTS],
        admin_from_anywhere=admin_from_anywhere,
    )
    by_route: dict[tuple[str, str], AnyOperation] = {}
    for operation in operations:
        handler = operation.serve(deps, authenticator)
        for method, path in operation.routes:
            app.router.add_route(method, path, handler)
            by_route[method, path] = operation

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        operation = by_route.get((request.method, resource.canonical if resource else ""))
        deps.count_request(operation.name if operation else "none", response.status)
        cache = operation.cache if operation and response.status == HTTPStatus.OK else NO_STORE
        add_security_headers(response.headers, _policy(operation, deps), cache)
        cors.add_headers(request, response)

    app.on_response_prepare.append(finish)
    return app


def _policy(operation: AnyOperation | None, deps: WebDeps) -> str:
    """Return the Content-Security-Policy. No site may show a page for administrators in a frame, over its buttons."""
    if operation is None or not operation.page:
        return NOTHING
    return page_policy(["'none'"] if operation.for_admin else deps.config().http.frame_ancestors)
