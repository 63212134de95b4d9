"""Add CXone Digital to the application of the simulator."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sipbridge.simulators.cxone.digital import desk_api, page
from sipbridge.simulators.cxone.digital.automatic import AutomaticAgents
from sipbridge.simulators.cxone.digital.byoc import control as byoc_control
from sipbridge.simulators.cxone.digital.byoc import rest as byoc_rest
from sipbridge.simulators.cxone.digital.byoc.byoc import Byoc
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_feed import DeskFeed
from sipbridge.simulators.cxone.digital.gateway import control, rest, sockets
from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, LIVECHAT, MESSAGING, SECURED
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway
from sipbridge.simulators.cxone.digital.patron import control as patron_control
from sipbridge.simulators.cxone.digital.patron import rest as patron_rest
from sipbridge.simulators.cxone.digital.patron.patron import Patron
from sipbridge.simulators.cxone.digital.patron.settings import DEMO_POINT


def add_digital(app: web.Application, announce: Callable[[str], None]) -> None:
    """Add the desk and the channels. `announce` gets a line per event of a chat."""
    desk = Desk(announce=announce)
    app[desk_api.DESK] = desk
    app[desk_api.AUTOMATIC] = AutomaticAgents(desk)
    app[desk_api.FEED] = DeskFeed(desk)
    app[sockets.GATEWAY] = Gateway(desk, announce)
    app[byoc_rest.BYOC] = Byoc(desk, announce)
    app[patron_rest.PATRON] = Patron(desk)
    app.on_cleanup.append(_close)
    app.router.add_get("/", sockets.connect)
    for part in (desk_api, page, rest, control, byoc_rest, byoc_control, patron_rest, patron_control):
        app.add_routes(part.routes())


async def _close(app: web.Application) -> None:
    await app[byoc_rest.BYOC].caller.close()
    app[patron_rest.PATRON].close()


def clear_digital(app: web.Application) -> None:
    """Delete conversations, faults and recorded frames. Tokens, channels and settings stay."""
    app[desk_api.DESK].clear()
    app[desk_api.AUTOMATIC].clear()
    app[sockets.GATEWAY].clear()
    app[byoc_rest.BYOC].clear()
    app[patron_rest.PATRON].clear()


def ready_line(url: str) -> str:
    """Return the line with everything that a chat channel of the bridge needs."""
    return (
        f"CXone Digital ready: gateway_url {url.replace('http', 'ws', 1)}, rest_url and oauth_url {url}, "
        f"brand_id {BRAND_ID}, channel_id {MESSAGING.id} (messaging), {LIVECHAT.id} (livechat), "
        f"{SECURED.id} (messaging, secured); bring your own: api_url {url}{byoc_rest.BASE}, "
        f"channel_id {DEMO_CHANNEL.id}; patron chat: api_url {url}{patron_rest.BASE}/v12.0, "
        f"token_url {url}{patron_rest.TOKEN_PATH}, poc {DEMO_POINT.id}; "
        f"desk {url}/simulator/desk"
    )
