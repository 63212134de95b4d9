"""The simulator's own endpoints, under `/simulator`: recorded requests, and faults to inject."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sipbridge.simulators.cxone.digital import clear_digital
from sipbridge.simulators.cxone.endpoints import STATE, explain, json_response
from sipbridge.simulators.cxone.models import Fault


class SignalQuery(BaseModel):
    """The query of `GET /simulator/signals`: the contact, the number to wait for, and the time limit in seconds."""

    model_config = ConfigDict(extra="forbid")

    contact_id: str | None = None
    wait_for: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(ge=0, le=600)] = 10


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    return [
        web.get("/simulator/signals", list_signals),
        web.delete("/simulator/signals", clear_signals),
        web.get("/simulator/transcripts", list_transcripts),
        web.get("/simulator/requests", count_requests),
        web.get("/simulator/faults", list_faults),
        web.post("/simulator/faults", add_fault),
        web.delete("/simulator/faults", clear_faults),
        web.delete("/simulator", clear),
    ]


async def list_signals(request: web.Request) -> web.Response:
    """List the received Signals; with `wait_for`, when that many have arrived or `timeout` has passed."""
    try:
        query = SignalQuery.model_validate(dict(request.query))
    except ValidationError as error:
        return json_response({"error_message": explain(error)}, status=400)
    state = request.app[STATE]
    await state.wait_for_signals(query.wait_for, query.contact_id, query.timeout)
    signals = state.signals(query.contact_id)
    return json_response({"count": len(signals), "signals": [signal.as_json() for signal in signals]})


async def clear_signals(request: web.Request) -> web.Response:
    """Delete the recorded Signals."""
    request.app[STATE].clear_signals()
    return web.Response(status=204)


async def list_transcripts(request: web.Request) -> web.Response:
    """List the received transcripts, of one contact (`?contact_id=`) or of all."""
    transcripts = request.app[STATE].transcripts(request.query.get("contact_id"))
    return json_response({"count": len(transcripts), "transcripts": [each.as_json() for each in transcripts]})


async def count_requests(request: web.Request) -> web.Response:
    """Return how often each endpoint gave each response."""
    return json_response(request.app[STATE].requests())


async def list_faults(request: web.Request) -> web.Response:
    """List the queued faults."""
    faults = request.app[STATE].faults()
    return json_response({"faults": [fault.model_dump(mode="json", exclude_defaults=True) for fault in faults]})


async def add_fault(request: web.Request) -> web.Response:
    """Queue a fault."""
    try:
        fault = Fault.model_validate_json(await request.read())
    except ValidationError as error:
        return json_response({"error_message": explain(error)}, status=400)
    request.app[STATE].add_fault(fault)
    return json_response(fault.model_dump(mode="json", exclude_defaults=True), status=201)


async def clear_faults(request: web.Request) -> web.Response:
    """Delete the queued faults."""
    request.app[STATE].clear_faults()
    return web.Response(status=204)


async def clear(request: web.Request) -> web.Response:
    """Delete everything except tokens, channels and settings."""
    request.app[STATE].clear()
    clear_digital(request.app)
    return web.Response(status=204)
