"""The WebSocket of the gateway: the opening, and what happens to each frame of the client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from sipbridge.simulators.cxone.digital.conversation import DeskError
from sipbridge.simulators.cxone.digital.gateway.call import Call, Reply
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault
from sipbridge.simulators.cxone.digital.gateway.frames import (
    ClientFrame,
    FrameError,
    Malformed,
    NotJson,
    check_frame,
    read_frame,
)
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway
from sipbridge.simulators.cxone.digital.gateway.handlers import HANDLERS, OPENING_EVENTS
from sipbridge.simulators.cxone.digital.gateway.pushes import a_reply, an_error
from sipbridge.simulators.cxone.digital.messages import Customer, new_id
from sipbridge.simulators.cxone.faults import reset_connection

GATEWAY = web.AppKey("gateway", Gateway)

MAX_CLIENT_FRAME_BYTES = 128 * 1024  # a bigger frame closes the socket with 1009
_REQUIRED = ("brandId", "channelId", "visitorId", "sdkPlatform", "sdkVersion")


class OpeningRefused(Exception):
    """A socket that is not opened: the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Opening:
    """The checked query of a socket."""

    channel: Channel
    customer: Customer


async def connect(request: web.Request) -> web.StreamResponse:
    """Open a socket and serve it."""
    gateway = request.app[GATEWAY]
    try:
        opening = check_opening(request, gateway)
        fault = await _opening_fault(gateway, opening)
        if gateway.settings.down or (fault is not None and fault.reset):
            gateway.log.count("connect", "reset")
            return reset_connection(request)
    except OpeningRefused as refused:
        gateway.log.count("connect", str(refused.status))
        gateway.announce(f"chat socket refused with {refused.status}: {refused}")
        return web.json_response({"message": str(refused)}, status=refused.status)
    return await _serve(request, gateway, opening, fault)


def check_opening(request: web.Request, gateway: Gateway) -> Opening:
    """Check the query of a socket. Raises `OpeningRefused`."""
    query = request.query
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise OpeningRefused(426, "this is the WebSocket of the chat gateway; the desk is at /simulator/desk")
    for name in _REQUIRED:
        if not query.get(name):
            raise OpeningRefused(400, f"{name} is missing in the query")
    channel = gateway.channels.find(query["brandId"], query["channelId"])
    if channel is None:
        raise OpeningRefused(400, "there is no such brand and channel")
    if not channel.secured_sessions:
        if "transactionToken" in query or not query.get("customerId"):
            raise OpeningRefused(400, "the channel has no secured sessions: customerId must be in the query, no token")
        return Opening(channel, Customer(query["customerId"]))
    token = gateway.tokens.check(query.get("transactionToken"), "transaction", channel.id)
    if token is None:
        raise OpeningRefused(403, "the transactionToken is missing, unknown or expired")
    return Opening(channel, token.customer)


async def _opening_fault(gateway: Gateway, opening: Opening) -> GatewayFault | None:
    fault = gateway.faults.take("connect", channel=opening.channel.id, customer=opening.customer.id)
    if fault is not None:
        await asyncio.sleep(fault.latency_seconds)
        if fault.status is not None:
            raise OpeningRefused(fault.status, "caused by a fault")
    return fault


async def _serve(
    request: web.Request, gateway: Gateway, opening: Opening, fault: GatewayFault | None
) -> web.StreamResponse:
    socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_CLIENT_FRAME_BYTES)
    await socket.prepare(request)
    connection = Connection(
        socket,
        request,
        gateway,
        opening.channel.id,
        opening.customer,
        is_authorized=opening.channel.secured_sessions,
    )
    gateway.log.count("connect", "101")
    gateway.add(connection)
    try:
        await connection.run(
            lambda connection, text: receive(gateway, connection, text), fault.close_after_seconds if fault else None
        )
    finally:
        gateway.remove(connection)
    return socket


def receive(gateway: Gateway, connection: Connection, text: str | bytes) -> None:
    """Process a frame of the client."""
    try:
        frame = read_frame(text)
    except NotJson:
        gateway.log.count("not JSON", "error")
        # The shape of AWS's API Gateway.
        connection.send({"message": "Forbidden", "connectionId": connection.id, "requestId": new_id()}, "Error")
        return
    if frame.action == "heartbeat":
        gateway.log.count("heartbeat", "ok")
        connection.send_pong()
        return
    fault = _event_fault(gateway, connection, frame)
    if fault is not None and fault.drop == "before_record":
        result = "dropped"
        connection.drop()
    elif not connection.is_authorized and frame.event_type not in OPENING_EVENTS:
        result = "lost"
    else:
        result = _process(gateway, connection, frame, fault)
    gateway.log.add(frame.event_type, connection.channel_id, connection.customer.id, result, frame.body)
    if result not in ("ok", "dropped"):
        gateway.announce(f"chat event {frame.event_type!r} of customer {connection.customer.id!r}: {result}")


def _event_fault(gateway: Gateway, connection: Connection, frame: ClientFrame) -> GatewayFault | None:
    if not gateway.faults.queued:
        return None
    payload = frame.body.get("payload")
    data = payload.get("data") if isinstance(payload, dict) else None
    thread = data.get("thread") if isinstance(data, dict) else None
    return gateway.faults.take(
        "event",
        kind=frame.event_type,
        channel=connection.channel_id,
        customer=connection.customer.id,
        thread=thread.get("idOnExternalPlatform") if isinstance(thread, dict) else None,
    )


def _process(gateway: Gateway, connection: Connection, frame: ClientFrame, fault: GatewayFault | None) -> str:
    """Process an event and send its reply; return the result for the log."""
    if fault is not None and fault.drop == "before_ack":
        connection.mute()
    result, kind, reply = "ok", "Error", None
    try:
        found = _handle(gateway, connection, frame, fault)
        if found is not None:
            kind, reply = found[0], a_reply(frame.event_id, *found)
    except FrameError as error:
        result, reply = error.code, an_error(frame.event_id, error.code, str(error))
    except DeskError as error:
        result, reply = "InconsistentData", an_error(frame.event_id, "InconsistentData", str(error))
    if reply is not None and not (fault is not None and fault.no_ack):
        connection.send(reply, kind, delay_seconds=fault.latency_seconds if fault is not None else 0)
    if fault is not None and fault.drop == "before_ack":
        connection.drop()
    elif fault is not None and fault.drop == "after_ack":
        connection.drop_when_sent()
    return result


def _handle(gateway: Gateway, connection: Connection, frame: ClientFrame, fault: GatewayFault | None) -> Reply:
    if fault is not None and fault.error is not None:
        raise FrameError(fault.error, "caused by a fault")
    customer = check_frame(frame, gateway.channels.brand_id, connection.channel_id)
    if customer.id != connection.customer.id:
        raise Malformed("idOnExternalPlatform of the customer is not that of the connection")
    handler = HANDLERS.get(frame.event_type)
    if handler is None:
        raise Malformed("the eventType is unknown")
    return handler(Call(gateway, connection, frame.event_type, customer, frame.data))
