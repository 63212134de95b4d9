"""The simulator's own endpoints of patron chat, under `/simulator/patron`."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from sipbridge.simulators.cxone.digital.errors import UnknownObject, with_errors
from sipbridge.simulators.cxone.digital.patron.patron import Patron
from sipbridge.simulators.cxone.digital.patron.rest import PATRON
from sipbridge.simulators.cxone.digital.patron.settings import Hours, PatronSettings, Point
from sipbridge.simulators.cxone.endpoints import json_response


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    root = "/simulator/patron"
    found = [
        web.get(f"{root}/settings", show_settings),
        web.patch(f"{root}/settings", change_settings),
        web.get(f"{root}/points", list_points),
        web.put(f"{root}/points/{{id}}", put_point),
        web.patch(f"{root}/points/{{id}}", change_point),
        web.put(f"{root}/hours/{{id}}", put_hours),
        web.post(f"{root}/chats/{{id}}/expire", expire),
        web.post(f"{root}/chats/{{id}}/stale", make_stale),
    ]
    return [web.route(each.method, each.path, with_errors(each.handler)) for each in found]


def _patron(request: web.Request) -> Patron:
    return request.app[PATRON]


async def _changes(request: web.Request) -> dict[str, Any]:
    changes = orjson.loads(await request.read() or b"{}")
    return changes if isinstance(changes, dict) else {}


async def show_settings(request: web.Request) -> web.Response:
    """Return the settings."""
    return json_response(_patron(request).settings.model_dump())


async def change_settings(request: web.Request) -> web.Response:
    """Change the given settings."""
    patron = _patron(request)
    patron.settings = PatronSettings.model_validate(patron.settings.model_dump() | await _changes(request))
    return json_response(patron.settings.model_dump())


async def list_points(request: web.Request) -> web.Response:
    """List the points of contact."""
    return json_response({"points": [each.model_dump() for each in _patron(request).points.values()]})


async def put_point(request: web.Request) -> web.Response:
    """Create or replace a point of contact."""
    return _store(request, await _changes(request))


async def change_point(request: web.Request) -> web.Response:
    """Change the given settings of a point of contact."""
    found = _patron(request).points.get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such point of contact")
    return _store(request, found.model_dump() | await _changes(request))


def _store(request: web.Request, settings: dict[str, Any]) -> web.Response:
    point = Point.model_validate(settings | {"id": request.match_info["id"]})
    _patron(request).points[point.id] = point
    return json_response(point.model_dump())


async def put_hours(request: web.Request) -> web.Response:
    """Create or replace a profile of hours of operation."""
    hours = Hours.model_validate(await _changes(request) | {"profile_id": request.match_info["id"]})
    _patron(request).hours[hours.profile_id] = hours
    return json_response(hours.model_dump())


async def expire(request: web.Request) -> web.Response:
    """End a chat as its age does."""
    if not _patron(request).expire(request.match_info["id"]):
        raise UnknownObject("there is no such chat that goes on")
    return web.Response(status=204)


async def make_stale(request: web.Request) -> web.Response:
    """Change the session id of a chat without the client's knowledge."""
    if not _patron(request).make_stale(request.match_info["id"]):
        raise UnknownObject("there is no such chat")
    return web.Response(status=204)
