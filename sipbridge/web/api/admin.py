"""Operations for administrators. They are served only if `http.admin.keys` is not empty."""

from __future__ import annotations

from aiohttp import web

from sipbridge import __version__
from sipbridge.errors import ConfigError
from sipbridge.web.api.admin_schemas import BridgeStatus, DrainAccepted, NodeStatus, Reloaded
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.server.auth import Access
from sipbridge.web.server.errors import ReloadRefused


async def drain(context: RequestContext[Empty, Empty]) -> web.Response:
    """Start to drain, as SIGTERM does. A second request changes nothing."""
    controls = context.deps.admin_controls
    controls.drain()
    return json_response(DrainAccepted(state="draining", calls=controls.calls), status=202)


async def reload(context: RequestContext[Empty, Empty]) -> web.Response:
    """Reload the configuration, as SIGHUP does."""
    try:
        report = await context.deps.admin_controls.reload()
    except ConfigError as error:
        raise ReloadRefused(str(error)) from None
    return json_response(
        Reloaded(reloaded=True, restart_required=list(report.restart_required), warnings=list(report.warnings))
    )


async def get_status(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the version, the start time, the numbers of calls and chats, what the bridge takes, and the nodes."""
    deps, controls = context.deps, context.deps.admin_controls
    nodes = await deps.nodes.all() if deps.nodes else []
    return json_response(
        BridgeStatus(
            version=__version__,
            draining=controls.draining,
            calls=controls.calls,
            chats=controls.chats,
            since=controls.since,
            max_calls=deps.config().sip.max_calls,
            obstacle=deps.readiness(),
            nodes=[NodeStatus.model_validate(node, from_attributes=True) for node in nodes],
        )
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/admin/drain",
        summary="Take no new calls and chats, hand off calls in progress after drain_seconds, suspend chats, then stop",
        handler=drain,
        response=Response(202, "The bridge is draining", DrainAccepted),
        query=Empty,
        body=Empty,
        access=Access.ADMIN,
    ),
    Operation(
        method="POST",
        path="/v1/admin/reload",
        summary="Reload the configuration, for new calls",
        handler=reload,
        response=Response(200, "New calls use the new configuration", Reloaded),
        query=Empty,
        body=Empty,
        access=Access.ADMIN,
        refuses=(ReloadRefused,),
    ),
    Operation(
        method="GET",
        path="/v1/admin/status",
        summary="Status of the bridge, and the nodes that share its store",
        handler=get_status,
        response=Response(200, "The status", BridgeStatus),
        query=Empty,
        body=Empty,
        access=Access.ADMIN,
    ),
)
