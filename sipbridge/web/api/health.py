"""Health checks for load balancers, and metrics for Prometheus."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from sipbridge.http.node_headers import NODE, PROBE
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.api.schemas import Health
from sipbridge.web.server.auth import Access
from sipbridge.web.server.errors import NotReady


async def healthz(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return 200, also while draining. Another node learns which one this is."""
    response = json_response(Health(status="ok"))
    nodes, probe = context.deps.nodes, context.request.headers.get(PROBE)
    if nodes is not None and probe is not None and (epoch := nodes.respond_to_probe(probe)):
        response.headers[NODE] = epoch
    return response


async def readyz(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return 200 if a new call would be taken. Raises `NotReady` if not."""
    obstacle = context.deps.readiness()
    if obstacle:
        raise NotReady(obstacle)
    return json_response(Health(status="ready"))


async def metrics(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the metrics."""
    return web.Response(body=context.deps.metrics_page(), headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        summary="Liveness: the process works, also while it drains",
        handler=healthz,
        response=Response(200, "The process works", Health),
        query=Empty,
        body=Empty,
        access=Access.PUBLIC,
    ),
    Operation(
        method="GET",
        path="/readyz",
        summary="Readiness: new calls are taken",
        handler=readyz,
        response=Response(200, "New calls are taken", Health),
        query=Empty,
        body=Empty,
        access=Access.PUBLIC,
        refuses=(NotReady,),
    ),
    Operation(
        method="GET",
        path="/metrics",
        summary="Metrics in Prometheus's text format",
        handler=metrics,
        response=Response(200, "The metrics", media_type="text/plain"),
        query=Empty,
        body=Empty,
        access=Access.PUBLIC,
    ),
)
