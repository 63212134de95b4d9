"""Builds the simulator and runs it."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web

from sipbridge.simulator import control, endpoints
from sipbridge.simulator.faults import count_and_spoil
from sipbridge.simulator.models import DEMO_TENANT, Tenant
from sipbridge.simulator.state import State

_MAX_BODY_BYTES = 16 * 1024 * 1024  # room for a fault that answers with megabytes
_SHUTDOWN_SECONDS = 0.1  # answers that a fault delays are not waited for


def make_app(tenants: Sequence[Tenant] = (DEMO_TENANT,), *, token_seconds: int = 3600) -> web.Application:
    """Build the simulator for these tenants; its tokens are good for `token_seconds`."""
    app = web.Application(middlewares=[count_and_spoil], client_max_size=_MAX_BODY_BYTES)
    app[endpoints.STATE] = State(tenants, token_seconds=token_seconds)
    app.add_routes(endpoints.routes())
    app.add_routes(control.routes())
    return app


@asynccontextmanager
async def running_simulator(
    tenants: Sequence[Tenant] = (DEMO_TENANT,),
    *,
    token_seconds: int = 3600,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve the simulator and give its base URL; port 0 takes a free one. Raises `OSError` where it cannot listen."""
    app = make_app(tenants, token_seconds=token_seconds)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        name = f"[{host}]" if ":" in host else host
        scheme = "https" if ssl_context else "http"
        yield f"{scheme}://{name}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def main(host: str, port: int) -> int:
    """Run the simulator until SIGINT or SIGTERM; returns the exit code."""
    try:
        uvloop.run(_serve(host, port))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0


async def _serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_simulator(host=host, port=port) as url:
        demo = DEMO_TENANT
        sys.stdout.write(
            f"CXone simulator ready: issuer {url}, client_id {demo.client_id}, client_secret {demo.client_secret}, "
            f"access_key_id {demo.access_key_id}, access_key_secret {demo.access_key_secret}, "
            f"business_unit {demo.business_unit}\n"
        )
        sys.stdout.flush()
        await stop.wait()
