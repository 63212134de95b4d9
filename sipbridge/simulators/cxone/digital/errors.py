"""The error responses of the simulator's own JSON endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from pydantic import ValidationError

from sipbridge.simulators.cxone.digital.conversation import DeskError
from sipbridge.simulators.cxone.endpoints import explain, json_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class UnknownObject(Exception):
    """The path contains an id that does not exist."""


def with_errors(handler: Handler) -> Handler:
    """Give a handler its error responses: 400 for a bad request, 404, and 409 for an action that is not possible."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ValidationError as error:
            return json_response({"error_message": explain(error)}, status=400)
        except orjson.JSONDecodeError:
            return json_response({"error_message": "body: must be JSON"}, status=400)
        except UnknownObject as error:
            return json_response({"error_message": str(error)}, status=404)
        except DeskError as error:
            return json_response({"error_message": str(error)}, status=409)

    return handle
