"""The gateway's own endpoints under `/simulator/digital`: settings, channels, faults, and the received frames."""

from __future__ import annotations

from typing import Annotated, Any, Self

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sipbridge.simulators.cxone.digital.errors import UnknownObject, with_errors
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault
from sipbridge.simulators.cxone.digital.gateway.frame_log import FrameRecord
from sipbridge.simulators.cxone.digital.gateway.settings import Settings
from sipbridge.simulators.cxone.digital.gateway.sockets import GATEWAY
from sipbridge.simulators.cxone.endpoints import json_response


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameQuery(_Model):
    """The query of `GET frames`."""

    type: str | None = None
    customer: str | None = None
    channel: str | None = None
    result: str | None = None
    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(ge=0, le=600)] = 10

    def matches(self, record: FrameRecord) -> bool:
        """True if a frame passes the filters."""
        return (
            self.type in (None, record.type)
            and self.customer in (None, record.customer)
            and self.channel in (None, record.channel)
            and self.result in (None, record.result)
        )


class Drop(_Model):
    """`drop`: closes open sockets; without a code they are cut without the closing handshake."""

    customer: str | None = None
    code: Annotated[int, Field(ge=1000, le=4999)] | None = None


class Push(_Model):
    """`push`: sends a frame, or any text."""

    customer: str | None = None
    frame: dict[str, Any] | None = None
    raw: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.frame is None) == (self.raw is None):
            raise ValueError("give frame or raw, one of the two")
        return self


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    root = "/simulator/digital"
    found = [
        web.get(f"{root}/settings", show_settings),
        web.patch(f"{root}/settings", change_settings),
        web.get(f"{root}/channels", list_channels),
        web.put(f"{root}/channels/{{id}}", put_channel),
        web.patch(f"{root}/channels/{{id}}", change_channel),
        web.delete(f"{root}/channels/{{id}}", delete_channel),
        web.get(f"{root}/faults", list_faults),
        web.post(f"{root}/faults", add_fault),
        web.delete(f"{root}/faults", clear_faults),
        web.get(f"{root}/frames", list_frames),
        web.get(f"{root}/counts", show_counts),
        web.get(f"{root}/connections", list_connections),
        web.post(f"{root}/drop", drop),
        web.post(f"{root}/push", push),
        web.post(f"{root}/expire_tokens", expire_tokens),
    ]
    return [web.route(each.method, each.path, with_errors(each.handler)) for each in found]


async def _changes(request: web.Request) -> dict[str, Any]:
    changes = orjson.loads(await request.read() or b"{}")
    return changes if isinstance(changes, dict) else {}


async def show_settings(request: web.Request) -> web.Response:
    """Return the settings."""
    return json_response(request.app[GATEWAY].settings.model_dump())


async def change_settings(request: web.Request) -> web.Response:
    """Change the given settings, for sockets that open from now on."""
    gateway = request.app[GATEWAY]
    gateway.settings = Settings.model_validate(gateway.settings.model_dump() | await _changes(request))
    return json_response(gateway.settings.model_dump())


async def list_channels(request: web.Request) -> web.Response:
    """List the channels."""
    channels = request.app[GATEWAY].channels
    shown = [each.model_dump(mode="json") for each in channels.by_id.values()]
    return json_response({"brand_id": channels.brand_id, "channels": shown})


async def put_channel(request: web.Request) -> web.Response:
    """Create or replace a channel."""
    return _store_channel(request, await _changes(request) | {"id": request.match_info["id"]})


async def change_channel(request: web.Request) -> web.Response:
    """Change the given settings of a channel."""
    found = _channel(request).model_dump()
    return _store_channel(request, found | await _changes(request) | {"id": found["id"]})


async def delete_channel(request: web.Request) -> web.Response:
    """Delete a channel."""
    del request.app[GATEWAY].channels.by_id[_channel(request).id]
    return web.Response(status=204)


def _channel(request: web.Request) -> Channel:
    found = request.app[GATEWAY].channels.by_id.get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such channel")
    return found


def _store_channel(request: web.Request, settings: dict[str, Any]) -> web.Response:
    channel = Channel.model_validate(settings)
    request.app[GATEWAY].channels.by_id[channel.id] = channel
    return json_response(channel.model_dump(mode="json"))


async def list_faults(request: web.Request) -> web.Response:
    """List the queued faults."""
    faults = request.app[GATEWAY].faults.queued
    return json_response({"faults": [each.model_dump(mode="json", exclude_defaults=True) for each in faults]})


async def add_fault(request: web.Request) -> web.Response:
    """Queue a fault."""
    fault = GatewayFault.model_validate_json(await request.read())
    request.app[GATEWAY].faults.queued.append(fault)
    return json_response(fault.model_dump(mode="json", exclude_defaults=True), status=201)


async def clear_faults(request: web.Request) -> web.Response:
    """Delete the queued faults."""
    request.app[GATEWAY].faults.queued.clear()
    return web.Response(status=204)


async def list_frames(request: web.Request) -> web.Response:
    """List the newest frames that match; with `wait_for`, when that many match or `timeout` has passed."""
    query, log = FrameQuery.model_validate(dict(request.query)), request.app[GATEWAY].log

    def matching() -> list[FrameRecord]:
        return [record for record in log.records() if query.matches(record)]

    await log.waiters.wait_until(lambda: len(matching()) >= query.wait_for, query.matches, query.timeout)
    found = matching()
    return json_response({"count": len(found), "frames": [record.as_json() for record in found]})


async def show_counts(request: web.Request) -> web.Response:
    """Return how often each event, and each attempt to connect, had each result."""
    return json_response(request.app[GATEWAY].log.counts())


async def list_connections(request: web.Request) -> web.Response:
    """List the open sockets."""
    shown = [
        {"id": each.id, "channel": each.channel_id, "customer": each.customer.id, "authorized": each.is_authorized}
        for each in request.app[GATEWAY].connections()
    ]
    return json_response({"count": len(shown), "connections": shown})


async def drop(request: web.Request) -> web.Response:
    """Close open sockets of one customer or of all."""
    body = Drop.model_validate_json(await request.read() or b"{}")
    connections = request.app[GATEWAY].connections(body.customer)
    for connection in connections:
        if body.code is None:
            connection.drop()
        else:
            connection.close(body.code)
    return json_response({"dropped": len(connections)})


async def push(request: web.Request) -> web.Response:
    """Send a frame or a text to the sockets of one customer or of all."""
    body = Push.model_validate_json(await request.read())
    connections: list[Connection] = request.app[GATEWAY].connections(body.customer)
    data = orjson.dumps(body.frame) if body.raw is None else body.raw.encode()
    for connection in connections:
        connection.send_bytes(data)
    return json_response({"pushed": len(connections)})


async def expire_tokens(request: web.Request) -> web.Response:
    """Invalidate all tokens of the gateway."""
    return json_response({"expired": request.app[GATEWAY].tokens.expire()})
