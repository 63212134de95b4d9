"""The simulator's own endpoints of bring-your-own channels, under `/simulator/byoc`."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from sipbridge.simulators.cxone.digital.byoc.channels import ByocChannel
from sipbridge.simulators.cxone.digital.byoc.files import FILES_PATH, has_expired
from sipbridge.simulators.cxone.digital.byoc.rest import BYOC
from sipbridge.simulators.cxone.digital.control import (
    RecordQuery,
    checked,
    list_records,
    object_routes,
    settings_routes,
)
from sipbridge.simulators.cxone.digital.errors import UnknownObject
from sipbridge.simulators.cxone.endpoints import json_response


class CallQuery(RecordQuery):
    """The query of `GET calls`."""

    kind: str | None = None
    channel: str | None = None
    thread: str | None = None
    result: str | None = None


class FileQuery(BaseModel):
    """The query of `POST files`; the body is the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)] = "file"
    media_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")] = "application/octet-stream"


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    root = "/simulator/byoc"
    return checked(
        [
            *settings_routes(root, BYOC),
            web.get(f"{root}/channels", list_channels),
            *object_routes(f"{root}/channels", ByocChannel, lambda app: app[BYOC].channels),
            web.get(f"{root}/calls", list_calls),
            web.post(f"{root}/expire_tokens", expire_tokens),
            web.post(FILES_PATH, add_file),
            web.get(f"{FILES_PATH}/{{id}}/{{name}}", download),
        ]
    )


async def list_channels(request: web.Request) -> web.Response:
    """List the channels."""
    return json_response({"channels": [each.model_dump() for each in request.app[BYOC].channels.values()]})


async def list_calls(request: web.Request) -> web.Response:
    """List the newest calls to boxes."""
    return await list_records(request, CallQuery, request.app[BYOC].caller.log, "calls")


async def expire_tokens(request: web.Request) -> web.Response:
    """Make CXone forget the tokens of the boxes."""
    request.app[BYOC].caller.expire_tokens()
    return web.Response(status=204)


async def add_file(request: web.Request) -> web.Response:
    """Store a file of a human agent; its URL goes into `attachments` of a message at the desk."""
    query = FileQuery.model_validate(dict(request.query))
    path = request.app[BYOC].files.put(await request.read(), query.media_type, query.name)
    return json_response({"url": f"{request.url.origin()}{path}"}, status=201)


async def download(request: web.Request) -> web.Response:
    """Return a file, while its link is valid."""
    found = request.app[BYOC].files.get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such file")
    if has_expired(str(request.rel_url)):
        return json_response({"error_message": "the link has expired"}, status=403)
    return web.Response(body=found.content, headers={"Content-Type": found.media_type})
