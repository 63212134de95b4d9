"""What load balancers and Prometheus ask."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from sipbridge.web.api.operation import Asked, Nothing, Operation, Reply, json_answer
from sipbridge.web.api.schemas import Health
from sipbridge.web.server.errors import NotReady


async def healthz(_: Asked[Nothing, Nothing]) -> web.Response:
    """Answer at all, draining or not."""
    return json_answer(Health(status="ok"))


async def readyz(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Answer whether a new call would be taken."""
    obstacle = asked.deps.readiness()
    if obstacle:
        raise NotReady(obstacle)
    return json_answer(Health(status="ready"))


async def metrics(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Answer with the page that Prometheus scrapes."""
    return web.Response(body=asked.deps.metrics_page(), headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        summary="Whether the process works; 200 while it drains too",
        handler=healthz,
        reply=Reply(200, "It works", Health),
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        method="GET",
        path="/readyz",
        summary="Whether new calls are taken",
        handler=readyz,
        reply=Reply(200, "They are", Health),
        query=Nothing,
        body=Nothing,
        refuses=(NotReady,),
    ),
    Operation(
        method="GET",
        path="/metrics",
        summary="Metrics in Prometheus's text format",
        handler=metrics,
        reply=Reply(200, "The metrics", media_type="text/plain"),
        query=Nothing,
        body=Nothing,
    ),
)
