"""Build the simulator and run it."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import uvloop
from aiohttp import web

from sipbridge.simulators.cxone import control, endpoints
from sipbridge.simulators.cxone.digital import add_digital, ready_line
from sipbridge.simulators.cxone.faults import inject_faults
from sipbridge.simulators.cxone.models import DEMO_TENANT, Tenant
from sipbridge.simulators.cxone.state import State

_MAX_BODY_BYTES = 64 * 1024 * 1024  # enough for an attachment of 40 MB in base64
_SHUTDOWN_SECONDS = 0.1  # does not wait for responses that a fault delays


def _ignore(_: str) -> None:
    return


def make_app(
    tenants: Sequence[Tenant] = (DEMO_TENANT,),
    *,
    token_seconds: int = 3600,
    announce: Callable[[str], None] = _ignore,
) -> web.Application:
    """Build the simulator for these tenants; its tokens are valid for `token_seconds`.

    `announce` gets a line per token, Signal, transcript, event of a chat and rejected request.
    """
    app = web.Application(middlewares=[inject_faults], client_max_size=_MAX_BODY_BYTES)
    app[endpoints.STATE] = State(tenants, token_seconds=token_seconds, announce=announce)
    app.add_routes(endpoints.routes())
    app.add_routes(control.routes())
    add_digital(app, announce)
    return app


@asynccontextmanager
async def running_simulator(
    tenants: Sequence[Tenant] = (DEMO_TENANT,),
    *,
    token_seconds: int = 3600,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    announce: Callable[[str], None] = _ignore,
) -> AsyncIterator[str]:
    """Serve the simulator and yield its base URL; port 0 takes a free one. Raises `OSError` if it cannot listen."""
    app = make_app(tenants, token_seconds=token_seconds, announce=announce)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        name = f"[{host}]" if ":" in host else host
        scheme = "https" if ssl_context else "http"
        yield f"{scheme}://{name}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def main(host: str, port: int, *, quiet: bool = False) -> int:
    """Run the simulator until SIGINT or SIGTERM; return the exit code.

    Unless `quiet`, it prints a line per token, Signal, transcript, event of a chat and rejected request.
    """
    try:
        uvloop.run(_serve(host, port, _ignore if quiet else _print_line))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0


def _print_line(text: str) -> None:
    # The reader of a pipe may have exited; the bridge still needs the simulator.
    with suppress(OSError):
        sys.stdout.write(f"{datetime.now().astimezone():%H:%M:%S} {text}\n")
        sys.stdout.flush()


async def _serve(host: str, port: int, announce: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_simulator(host=host, port=port, announce=announce) as url:
        demo = DEMO_TENANT
        sys.stdout.write(
            f"CXone simulator ready: issuer {url}, client_id {demo.client_id}, client_secret {demo.client_secret}, "
            f"access_key_id {demo.access_key_id}, access_key_secret {demo.access_key_secret}, "
            f"business_unit {demo.business_unit}\n"
            f"{ready_line(url)}\n"
        )
        sys.stdout.flush()
        await stop.wait()
