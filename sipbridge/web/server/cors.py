"""CORS (Fetch Standard, 3.2): web pages of `http.allowed_origins` may read the responses of the API.

Credentials are never allowed: the page sends its key in a header, and the API has no cookies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable

from aiohttp import web

from sipbridge.web.server.auth import KEY_HEADER

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANY = "*"
_REQUEST_HEADERS = f"{KEY_HEADER}, Content-Type, Last-Event-ID"
_RESPONSE_HEADERS = "Retry-After, Allow"
_PREFLIGHT_SECONDS = 600


class Cors:
    """The CORS rules of one application. `origins` returns the allowed origins; paths in `without` allow none."""

    def __init__(self, origins: Callable[[], Collection[str]], without: Iterable[str] = ()) -> None:
        self._origins = origins
        self._without = frozenset(without)

    @web.middleware
    async def handle_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Respond to a preflight, which a browser sends without a key, if the origin is allowed."""
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        methods = _methods_of(request) if is_preflight else ()
        if not (methods and self._allowed(request)):
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            },
        )

    def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the CORS headers to a response, errors and event streams included."""
        if not self._origins() or self._is_without(request):
            return
        response.headers.add("Vary", "Origin")
        allowed = self._allowed(request)
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _RESPONSE_HEADERS

    def _allowed(self, request: web.Request) -> str | None:
        """Return the value of `Access-Control-Allow-Origin`, or None if the origin is not allowed."""
        origin, allowed = request.headers.get("Origin"), self._origins()
        if origin is None or self._is_without(request):
            return None
        return ANY if ANY in allowed else origin if origin in allowed else None

    def _is_without(self, request: web.Request) -> bool:
        return request.path.removesuffix("/") in self._without


def _methods_of(request: web.Request) -> Collection[str]:
    """Return the methods of a path that has no OPTIONS operation, or none for an unknown path."""
    error = request.match_info.http_exception
    return error.allowed_methods if isinstance(error, web.HTTPMethodNotAllowed) else ()
