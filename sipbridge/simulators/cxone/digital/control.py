"""The simulator's own endpoints that each kind of channel has: settings, named objects, and recorded requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from sipbridge.simulators.cxone.digital.errors import UnknownObject, with_errors
from sipbridge.simulators.cxone.digital.waiters import Waiters
from sipbridge.simulators.cxone.endpoints import json_response

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound="Record")
H = TypeVar("H", bound="HasSettings")


class HasSettings(Protocol):
    """A kind of channel, whose settings (a model) can change while the simulator runs."""

    settings: Any


class Record(Protocol):
    """A recorded request, whose attributes may be filters of its list."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON."""


class Log(Protocol[R]):
    """The newest records. `waiters` wait for one."""

    waiters: Waiters[R]

    def records(self) -> list[R]:
        """Return the records, oldest first."""


class RecordQuery(BaseModel):
    """The query of a list of records: filters, the number to wait for, and the time limit in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(ge=0, le=600)] = 10

    def matches(self, record: Record) -> bool:
        """True if a record passes the filters."""
        filters = self.model_dump(exclude_none=True, exclude={"wait_for", "timeout"})
        return all(getattr(record, name) == value for name, value in filters.items())


def checked(found: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    """Return the routes with their error responses."""
    return [web.route(each.method, each.path, with_errors(each.handler)) for each in found]


def settings_routes(root: str, key: web.AppKey[H]) -> list[web.RouteDef]:
    """Return the routes that show settings and change the given ones."""

    async def show(request: web.Request) -> web.Response:
        return json_response(request.app[key].settings.model_dump())

    async def change(request: web.Request) -> web.Response:
        found = request.app[key]
        found.settings = _changed(found.settings, await changes(request))
        return await show(request)

    return [web.get(f"{root}/settings", show), web.patch(f"{root}/settings", change)]


def object_routes(root: str, model: type[M], objects: Callable[[web.Application], dict[str, M]]) -> list[web.RouteDef]:
    """Return the routes that create, replace, change and delete one of the objects by their ids."""

    def find(request: web.Request) -> M:
        found = objects(request.app).get(request.match_info["id"])
        if found is None:
            raise UnknownObject("there is no object with this id")
        return found

    def store(request: web.Request, found: M) -> web.Response:
        objects(request.app)[request.match_info["id"]] = found
        return json_response(found.model_dump(mode="json"))

    def own_id(request: web.Request) -> dict[str, str]:
        return {"id": request.match_info["id"]}

    async def put(request: web.Request) -> web.Response:
        return store(request, model.model_validate(await changes(request) | own_id(request)))

    async def change(request: web.Request) -> web.Response:
        return store(request, _changed(find(request), await changes(request) | own_id(request)))

    async def delete(request: web.Request) -> web.Response:
        find(request)
        del objects(request.app)[request.match_info["id"]]
        return web.Response(status=204)

    path = f"{root}/{{id}}"
    return [web.put(path, put), web.patch(path, change), web.delete(path, delete)]


async def list_records(request: web.Request, query: type[RecordQuery], log: Log[R], name: str) -> web.Response:
    """List the newest records that match; with `wait_for`, when that many match or `timeout` has passed."""
    asked = query.model_validate(dict(request.query))

    def matching() -> list[R]:
        return [record for record in log.records() if asked.matches(record)]

    await log.waiters.wait_until(lambda: len(matching()) >= asked.wait_for, asked.matches, asked.timeout)
    found = matching()
    return json_response({"count": len(found), name: [record.as_json() for record in found]})


async def changes(request: web.Request) -> dict[str, Any]:
    """Return the body of a change. Anything but an object changes nothing."""
    found = orjson.loads(await request.read() or b"{}")
    return found if isinstance(found, dict) else {}


def _changed(found: M, given: dict[str, Any]) -> M:
    return type(found).model_validate(found.model_dump() | given)
