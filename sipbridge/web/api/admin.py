"""What whoever runs the bridge may have it do. There only where `http.admin.keys` has any."""

from __future__ import annotations

from aiohttp import web

from sipbridge import __version__
from sipbridge.errors import ConfigError
from sipbridge.web.api.operation import Asked, Nothing, Operation, Reply, json_answer
from sipbridge.web.api.schemas import BridgeStatus, DrainAccepted, Reloaded
from sipbridge.web.server.errors import ReloadRefused


async def drain(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Begin to drain, as SIGTERM does; again, it changes nothing."""
    operator = asked.deps.operator
    operator.drain()
    return json_answer(DrainAccepted(state="draining", calls=operator.calls), status=202)


async def reload(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Read the configuration again, as SIGHUP does."""
    try:
        report = await asked.deps.operator.reload()
    except ConfigError as error:
        raise ReloadRefused(str(error)) from None
    return json_answer(
        Reloaded(reloaded=True, restart_required=list(report.restart_required), warnings=list(report.warnings))
    )


async def get_status(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Tell how the bridge stands."""
    operator = asked.deps.operator
    return json_answer(
        BridgeStatus(version=__version__, draining=operator.draining, calls=operator.calls, since=operator.since)
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/admin/drain",
        summary="Take no more calls, hand off those that are up after drain_seconds, then stop",
        handler=drain,
        reply=Reply(202, "The bridge drains", DrainAccepted),
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        method="POST",
        path="/v1/admin/reload",
        summary="Read the configuration again, for new calls",
        handler=reload,
        reply=Reply(200, "It holds from now on", Reloaded),
        query=Nothing,
        body=Nothing,
        refuses=(ReloadRefused,),
    ),
    Operation(
        method="GET",
        path="/v1/admin/status",
        summary="How the bridge stands",
        handler=get_status,
        reply=Reply(200, "Its state", BridgeStatus),
        query=Nothing,
        body=Nothing,
    ),
)
