"""The gateway's own endpoints under `/simulator/digital`: settings, channels, faults, and the received frames."""

from __future__ import annotations

from typing import Annotated, Any, Self

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sipbridge.simulators.cxone.digital.control import (
    RecordQuery,
    checked,
    list_records,
    object_routes,
    settings_routes,
)
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault
from sipbridge.simulators.cxone.digital.gateway.sockets import GATEWAY
from sipbridge.simulators.cxone.endpoints import json_response


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameQuery(RecordQuery):
    """The query of `GET frames`."""

    type: str | None = None
    customer: str | None = None
    channel: str | None = None
    result: str | None = None


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
    return checked(
        [
            *settings_routes(root, GATEWAY),
            web.get(f"{root}/channels", list_channels),
            *object_routes(f"{root}/channels", Channel, lambda app: app[GATEWAY].channels.by_id),
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
    )


async def list_channels(request: web.Request) -> web.Response:
    """List the channels."""
    channels = request.app[GATEWAY].channels
    shown = [each.model_dump(mode="json") for each in channels.by_id.values()]
    return json_response({"brand_id": channels.brand_id, "channels": shown})


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
    """List the newest frames."""
    return await list_records(request, FrameQuery, request.app[GATEWAY].log, "frames")


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
