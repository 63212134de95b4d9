"""The simulator's own endpoints of bring-your-own channels, under `/simulator/byoc`."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from sipbridge.simulators.cxone.digital.byoc.byoc import Byoc
from sipbridge.simulators.cxone.digital.byoc.channels import ByocChannel
from sipbridge.simulators.cxone.digital.byoc.files import FILES_PATH, has_expired
from sipbridge.simulators.cxone.digital.byoc.log import CallRecord
from sipbridge.simulators.cxone.digital.byoc.rest import BYOC
from sipbridge.simulators.cxone.digital.byoc.settings import ByocSettings
from sipbridge.simulators.cxone.digital.errors import UnknownObject, with_errors
from sipbridge.simulators.cxone.endpoints import json_response


class CallQuery(BaseModel):
    """The query of `GET calls`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str | None = None
    channel: str | None = None
    thread: str | None = None
    result: str | None = None
    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(ge=0, le=600)] = 10

    def matches(self, record: CallRecord) -> bool:
        """True if a call passes the filters."""
        return (
            self.kind in (None, record.kind)
            and self.channel in (None, record.channel)
            and self.thread in (None, record.thread)
            and self.result in (None, record.result)
        )


class FileQuery(BaseModel):
    """The query of `POST files`; the body is the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)] = "file"
    media_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")] = "application/octet-stream"


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    root = "/simulator/byoc"
    found = [
        web.get(f"{root}/settings", show_settings),
        web.patch(f"{root}/settings", change_settings),
        web.get(f"{root}/channels", list_channels),
        web.put(f"{root}/channels/{{id}}", put_channel),
        web.patch(f"{root}/channels/{{id}}", change_channel),
        web.delete(f"{root}/channels/{{id}}", delete_channel),
        web.get(f"{root}/calls", list_calls),
        web.post(f"{root}/expire_tokens", expire_tokens),
        web.post(FILES_PATH, add_file),
        web.get(f"{FILES_PATH}/{{id}}/{{name}}", download),
    ]
    return [web.route(each.method, each.path, with_errors(each.handler)) for each in found]


def _byoc(request: web.Request) -> Byoc:
    return request.app[BYOC]


async def _changes(request: web.Request) -> dict[str, Any]:
    changes = orjson.loads(await request.read() or b"{}")
    return changes if isinstance(changes, dict) else {}


async def show_settings(request: web.Request) -> web.Response:
    """Return the settings."""
    return json_response(_byoc(request).settings.model_dump())


async def change_settings(request: web.Request) -> web.Response:
    """Change the given settings."""
    byoc = _byoc(request)
    byoc.settings = ByocSettings.model_validate(byoc.settings.model_dump() | await _changes(request))
    return json_response(byoc.settings.model_dump())


async def list_channels(request: web.Request) -> web.Response:
    """List the channels."""
    return json_response({"channels": [each.model_dump() for each in _byoc(request).channels.values()]})


async def put_channel(request: web.Request) -> web.Response:
    """Create or replace a channel."""
    return _store(request, await _changes(request) | {"id": request.match_info["id"]})


async def change_channel(request: web.Request) -> web.Response:
    """Change the given settings of a channel."""
    found = _channel(request)
    return _store(request, found.model_dump() | await _changes(request) | {"id": found.id})


async def delete_channel(request: web.Request) -> web.Response:
    """Delete a channel."""
    del _byoc(request).channels[_channel(request).id]
    return web.Response(status=204)


def _channel(request: web.Request) -> ByocChannel:
    found = _byoc(request).channels.get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such channel")
    return found


def _store(request: web.Request, settings: dict[str, Any]) -> web.Response:
    channel = ByocChannel.model_validate(settings)
    _byoc(request).channels[channel.id] = channel
    return json_response(channel.model_dump())


async def list_calls(request: web.Request) -> web.Response:
    """List the newest calls to boxes that match; with `wait_for`, when that many match or `timeout` has passed."""
    query, log = CallQuery.model_validate(dict(request.query)), _byoc(request).caller.log

    def matching() -> list[CallRecord]:
        return [record for record in log.records() if query.matches(record)]

    await log.waiters.wait_until(lambda: len(matching()) >= query.wait_for, query.matches, query.timeout)
    found = matching()
    return json_response({"count": len(found), "calls": [record.as_json() for record in found]})


async def expire_tokens(request: web.Request) -> web.Response:
    """Make CXone forget the tokens of the boxes."""
    _byoc(request).caller.expire_tokens()
    return web.Response(status=204)


async def add_file(request: web.Request) -> web.Response:
    """Store a file of a human agent; its URL goes into `attachments` of a message at the desk."""
    query = FileQuery.model_validate(dict(request.query))
    path = _byoc(request).files.put(await request.read(), query.media_type, query.name)
    return json_response({"url": f"{request.url.origin()}{path}"}, status=201)


async def download(request: web.Request) -> web.Response:
    """Return a file, while its link is valid."""
    found = _byoc(request).files.get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such file")
    if has_expired(str(request.rel_url)):
        return json_response({"error_message": "the link has expired"}, status=403)
    return web.Response(body=found.content, headers={"Content-Type": found.media_type})
