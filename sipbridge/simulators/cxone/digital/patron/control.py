"""The simulator's own endpoints of patron chat, under `/simulator/patron`."""

from __future__ import annotations

from aiohttp import web

from sipbridge.simulators.cxone.digital.control import changes, checked, object_routes, settings_routes
from sipbridge.simulators.cxone.digital.errors import UnknownObject
from sipbridge.simulators.cxone.digital.patron.rest import PATRON
from sipbridge.simulators.cxone.digital.patron.settings import Hours, Point
from sipbridge.simulators.cxone.endpoints import json_response


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    root = "/simulator/patron"
    return checked(
        [
            *settings_routes(root, PATRON),
            web.get(f"{root}/points", list_points),
            *object_routes(f"{root}/points", Point, lambda app: app[PATRON].points),
            web.put(f"{root}/hours/{{id}}", put_hours),
            web.post(f"{root}/chats/{{id}}/expire", expire),
            web.post(f"{root}/chats/{{id}}/stale", make_stale),
        ]
    )


async def list_points(request: web.Request) -> web.Response:
    """List the points of contact."""
    return json_response({"points": [each.model_dump() for each in request.app[PATRON].points.values()]})


async def put_hours(request: web.Request) -> web.Response:
    """Create or replace a profile of hours of operation."""
    hours = Hours.model_validate(await changes(request) | {"profile_id": request.match_info["id"]})
    request.app[PATRON].hours[hours.profile_id] = hours
    return json_response(hours.model_dump())


async def expire(request: web.Request) -> web.Response:
    """End a chat as its age does."""
    if not request.app[PATRON].expire(request.match_info["id"]):
        raise UnknownObject("there is no such chat that goes on")
    return web.Response(status=204)


async def make_stale(request: web.Request) -> web.Response:
    """Change the session id of a chat without the client's knowledge."""
    if not request.app[PATRON].make_stale(request.match_info["id"]):
        raise UnknownObject("there is no such chat")
    return web.Response(status=204)
