"""The middleware of CXone's endpoints: it counts requests and injects faults."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from sipbridge.simulators.cxone.endpoints import STATE, Refused
from sipbridge.simulators.cxone.models import Endpoint, Fault
from sipbridge.simulators.cxone.state import State

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_FIRST_REPLACING_STATUS = 300  # a fault with this or a higher status responds instead of the endpoint


@web.middleware
async def inject_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond as the endpoint does, or as a queued fault says."""
    endpoint = _ENDPOINTS.get(request.match_info.route.name or "")
    if endpoint is None:
        return await handler(request)
    state = request.app[STATE]
    fault = await _fault_for(request, state, endpoint) if state.expects_fault(endpoint) else None
    if fault is None:
        response = await _call_endpoint(handler, request)
    else:
        state.announce(f"{endpoint.value}: fault injected")
        if fault.reset == "before":
            return _reset(request, state, endpoint)
        response = await _faulty_response(fault, handler, request)
        if fault.cut is not None:
            return await _cut(fault, response, request, state, endpoint)
        await asyncio.sleep(fault.latency_seconds)
        if fault.reset == "after":
            return _reset(request, state, endpoint)
    state.count(endpoint, str(response.status))
    return response


async def _fault_for(request: web.Request, state: State, endpoint: Endpoint) -> Fault | None:
    contact_id = request.match_info.get("contact_id")
    if endpoint is Endpoint.TRANSCRIPT:
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = None
        contact_id = body.get("contactId") if isinstance(body, dict) else None
    return state.next_fault(endpoint, contact_id)


async def _call_endpoint(handler: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        request.app[STATE].announce(f"{request.match_info.route.name} rejected with {refused.status}: {refused}")
        return refused.response()


async def _faulty_response(fault: Fault, handler: Handler, request: web.Request) -> web.StreamResponse:
    if fault.status is not None and fault.status >= _FIRST_REPLACING_STATUS:
        response: web.StreamResponse = _replacement(fault, fault.status)
    else:
        response = await _call_endpoint(handler, request)
        if response.status < _FIRST_REPLACING_STATUS and (fault.status is not None or fault.content is not None):
            response = _replacement(fault, fault.status or response.status)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _replacement(fault: Fault, status: int) -> web.Response:
    return web.Response(status=status, body=fault.content, content_type=fault.content_type or "text/plain")


async def _cut(
    fault: Fault, response: web.StreamResponse, request: web.Request, state: State, endpoint: Endpoint
) -> web.StreamResponse:
    """Send half of the response, and close the connection after the latency."""
    state.count(endpoint, "cut")
    content = response.body if isinstance(response, web.Response) else None
    body = content if isinstance(content, bytes) and content else b"{}"
    length = f"Content-Length: {len(body)}\r\n"
    head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Type: {response.content_type}\r\n{length}"
    transport = request.transport
    if transport is not None:
        sent = head.removesuffix(length) + length[:8] if fault.cut == "head" else f"{head}\r\n"
        transport.write(sent.encode() + (b"" if fault.cut == "head" else body[: len(body) // 2]))
        await asyncio.sleep(fault.latency_seconds)
        transport.close()
    return web.Response()  # never sent, as the connection is closed


def _reset(request: web.Request, state: State, endpoint: Endpoint) -> web.StreamResponse:
    state.count(endpoint, "reset")
    return reset_connection(request)


def reset_connection(request: web.Request) -> web.StreamResponse:
    """Close the connection with a TCP reset: with a linger time of zero the kernel sends RST instead of FIN."""
    transport = request.transport
    if transport is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()  # never sent, as the connection is closed
