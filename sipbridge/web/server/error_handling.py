"""Every error in the one shape, `{"error_message", "code"}`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from sipbridge.errors import ErrorCode, RequestRefused, StoreError
from sipbridge.web.api.operation import json_response
from sipbridge.web.api.schemas import ErrorResponse
from sipbridge.web.server.errors import TooManyRequests

logger = logging.getLogger(__name__)

server_logger = logging.getLogger("sipbridge.web.server")  # aiohttp's own server writes to it

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Schema what a handler raises."""
    try:
        return await handler(request)
    except RequestRefused as refusal:
        answer = error_response(refusal.http_status, refusal.code, str(refusal))
        if isinstance(refusal, TooManyRequests):
            answer.headers["Retry-After"] = str(refusal.retry_after_seconds)
        return answer
    except web.HTTPException as error:
        return of_aiohttp(error)
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer is JSON)
        return _of_ourselves(error, _route(request))


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell our faults from bytes that are no HTTP, which aiohttp logs as errors and quotes, keys and all."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


server_logger.addFilter(_is_ours)


def of_aiohttp(error: web.HTTPException) -> web.Response:
    """Make the response to an error that aiohttp raised; its own is plain text and may quote the request."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        answer = error_response(405, "method_not_allowed", f"use {' or '.join(sorted(error.allowed_methods))} here")
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
    if isinstance(error, web.HTTPNotFound):
        return error_response(404, "not_found", "no such path")
    if isinstance(error, web.HTTPExpectationFailed):
        return error_response(417, "invalid_request", "send no Expect header other than 100-continue")
    return error_response(error.status, "invalid_request", error.reason)


def _of_ourselves(error: Exception, route: str) -> web.Response:
    if isinstance(error, StoreError):
        logger.warning("a request could not be answered: %s", error, extra={"route": route})
        return error_response(500, "store_unavailable", "the record store does not work at the moment; try again")
    # The stack and not the message, which may quote what was sent.
    stack = "".join(traceback.format_tb(error.__traceback__))
    logger.error("a request failed: %s", type(error).__name__, extra={"route": route, "stack": stack})
    return error_response(500, "internal_error", "this service failed; its log says where")


def _route(request: web.Request) -> str:
    """Return the path as it was declared: the real one may hold a pop link."""
    resource = request.match_info.route.resource
    return resource.canonical.rstrip("/") if resource else ""


def error_response(status: int, code: ErrorCode, message: str) -> web.Response:
    """Make an error of a status, its `code` and its `error_message`."""
    return json_response(ErrorResponse(error_message=message, code=code), status)
