"""The application: its routes, and what every answer has in common."""

from __future__ import annotations

import orjson
from aiohttp import web

from sipbridge.errors import StartupError
from sipbridge.web import calls, events, handoff_state, health, openapi, steering
from sipbridge.web.deps import WebDeps
from sipbridge.web.failures import answer_errors, server_logger
from sipbridge.web.operation import AnyOperation
from sipbridge.web.reading import MAX_BODY_BYTES
from sipbridge.web.site import Site

STOP_SECONDS = 5.0  # what requests under way have to finish when the service stops

OPERATIONS: tuple[AnyOperation, ...] = (
    *handoff_state.OPERATIONS,
    *calls.OPERATIONS,
    *steering.OPERATIONS,
    *events.OPERATIONS,
    *health.OPERATIONS,
    *openapi.OPERATIONS,
)


def make_app(deps: WebDeps) -> web.Application:
    """Make the application. It may be started once, on the loop that the parts of `deps` belong to."""
    app = web.Application(middlewares=[answer_errors], client_max_size=MAX_BODY_BYTES)
    app[openapi.DOCUMENT] = orjson.dumps(openapi.describe(OPERATIONS, deps.config.http.public_url))
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, operation.serve(deps))
    frame_ancestors = " ".join(deps.config.http.frame_ancestors)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        ancestors = frame_ancestors if request.path.startswith("/pop/") else "'none'"
        response.headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {ancestors}"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "sipbridge"

    async def let_readers_go(_: web.Application) -> None:
        deps.events.close()

    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(let_readers_go)
    return app


async def start_web(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, tuple[str, int]]:
    """Listen; return what to `cleanup()` at the end, and the address in use (port 0 takes a free one).

    Raises `StartupError` where the address cannot be had.
    """
    # No access log: pop links are secrets while they last. Handlers are cancelled with their connection, so that a
    # stream of events ends with its reader.
    runner = web.AppRunner(
        app, access_log=None, logger=server_logger, handler_cancellation=True, shutdown_timeout=STOP_SECONDS
    )
    await runner.setup()
    try:
        await Site(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise StartupError(
            f"http.listen: cannot listen on {host}:{port}: {error.strerror}; free it, or name another"
        ) from error
    address = runner.addresses[0]
    return runner, (address[0], address[1])
