"""Add CXone Digital to the application of the simulator."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sipbridge.simulators.cxone.digital import desk_api, page
from sipbridge.simulators.cxone.digital.automatic import AutomaticAgents
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_feed import DeskFeed
from sipbridge.simulators.cxone.digital.gateway import control, rest, sockets
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, LIVECHAT, MESSAGING, SECURED
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway


def add_digital(app: web.Application, announce: Callable[[str], None]) -> None:
    """Add the desk and the channels. `announce` gets a line per event of a chat."""
    desk = Desk(announce=announce)
    app[desk_api.DESK] = desk
    app[desk_api.AUTOMATIC] = AutomaticAgents(desk)
    app[desk_api.FEED] = DeskFeed(desk)
    app[sockets.GATEWAY] = Gateway(desk, announce)
    app.router.add_get("/", sockets.connect)
    for routes in (desk_api.routes(), page.routes(), rest.routes(), control.routes()):
        app.add_routes(routes)


def clear_digital(app: web.Application) -> None:
    """Delete conversations, faults and recorded frames. Tokens, channels and settings stay."""
    app[desk_api.DESK].clear()
    app[desk_api.AUTOMATIC].clear()
    app[sockets.GATEWAY].clear()


def ready_line(url: str) -> str:
    """Return the line with everything that a chat channel of the bridge needs."""
    return (
        f"CXone Digital ready: gateway_url {url.replace('http', 'ws', 1)}, rest_url and oauth_url {url}, "
        f"brand_id {BRAND_ID}, channel_id {MESSAGING.id} (messaging), {LIVECHAT.id} (livechat), "
        f"{SECURED.id} (messaging, secured); desk {url}/simulator/desk"
    )
