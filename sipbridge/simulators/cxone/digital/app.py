"""Add CXone Digital to the application of the simulator."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sipbridge.simulators.cxone.digital import desk_api
from sipbridge.simulators.cxone.digital.automatic import AutomaticAgents
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_feed import DeskFeed


def add_digital(app: web.Application, announce: Callable[[str], None]) -> None:
    """Add the desk and the channels. `announce` gets a line per event of a chat."""
    desk = Desk(announce=announce)
    app[desk_api.DESK] = desk
    app[desk_api.AUTOMATIC] = AutomaticAgents(desk)
    app[desk_api.FEED] = DeskFeed(desk)
    app.add_routes(desk_api.routes())
