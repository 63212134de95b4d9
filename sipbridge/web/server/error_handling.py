"""Errors become responses of one form: `{"error_message", "code"}`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from sipbridge.errors import ErrorCode, RequestRefused, StoreError
from sipbridge.web.api.operation import json_response
from sipbridge.web.api.schemas import ErrorResponse

logger = logging.getLogger(__name__)

server_logger = logging.getLogger("sipbridge.web.server")  # the logger that aiohttp's server uses

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ResponseBroken(ConnectionError):
    """A handler has failed after the begin of its response: the connection must be closed."""


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a response.

    Raises `ResponseBroken` if another response has begun: this one would be written into it.
    """
    try:
        return await handler(request)
    except RequestRefused as refusal:
        response = error_response(refusal.http_status, refusal.code, str(refusal))
        if refusal.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    except web.HTTPException as error:
        response = response_to_aiohttp_error(error)
    except Exception as error:  # noqa: BLE001 (every error gets a JSON response)
        response = _response_to_internal_error(error, _route(request))
    if request.writer.output_size:
        raise ResponseBroken
    return response


def _is_internal(record: logging.LogRecord) -> bool:
    """Return False for bytes that are not valid HTTP: aiohttp logs them as errors and quotes them, keys included."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


server_logger.addFilter(_is_internal)


def response_to_aiohttp_error(error: web.HTTPException) -> web.Response:
    """Make the response to an error that aiohttp raised; its own is plain text and may quote the request."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        response = error_response(405, "method_not_allowed", f"use {' or '.join(sorted(error.allowed_methods))} here")
        response.headers["Allow"] = error.headers["Allow"]
        return response
    if isinstance(error, web.HTTPNotFound):
        return error_response(404, "not_found", "no such path")
    if isinstance(error, web.HTTPExpectationFailed):
        return error_response(417, "invalid_request", "send no Expect header other than 100-continue")
    return error_response(error.status, "invalid_request", error.reason)


def _response_to_internal_error(error: Exception, route: str) -> web.Response:
    if isinstance(error, StoreError):
        logger.warning("record store unavailable for a request: %s", error, extra={"route": route})
        response = error_response(503, "store_unavailable", "the record store is unavailable; try again")
        response.headers["Retry-After"] = "1"
        return response
    # The stack without the message, which may quote the request.
    stack = "".join(traceback.format_tb(error.__traceback__))
    extra = {"event": "internal_error", "route": route, "stack": stack}
    logger.error("request failed: %s", type(error).__name__, extra=extra)
    return error_response(500, "internal_error", "this service failed; see its log")


def _route(request: web.Request) -> str:
    """Return the path as declared, since the requested path may hold the token of a pop link."""
    resource = request.match_info.route.resource
    return resource.canonical.rstrip("/") if resource else ""


def error_response(status: int, code: ErrorCode, message: str) -> web.Response:
    """Make an error response."""
    return json_response(ErrorResponse(error_message=message, code=code), status)
