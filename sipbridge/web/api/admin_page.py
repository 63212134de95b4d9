"""The live page for operators."""

from __future__ import annotations

from aiohttp import web

from sipbridge.errors import NotFound
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response
from sipbridge.web.html.assets import FOREVER
from sipbridge.web.operators import page
from sipbridge.web.server.auth import Access


async def get_admin_page(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the page. Its links are relative, as a proxy may have added a prefix."""
    base = "" if context.request.path.endswith("/") else "admin/"
    return web.Response(text=page.render_page(base), content_type="text/html")


async def get_admin_asset(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return a file that the page loads."""
    asset = page.assets().get(context.request.match_info["name"])
    if asset is None:
        raise NotFound("no such file")
    return asset.response()


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/admin",
        summary="A live page for operators, who type in the admin key there",
        handler=get_admin_page,
        response=Response(200, "The page, without any data", media_type="text/html"),
        query=Empty,
        body=Empty,
        access=Access.ADMIN_PAGE,
        page=True,
    ),
    # One segment, as `/v1/admin/{project_id}/…` are paths of a client that is called `admin`.
    Operation(
        method="GET",
        path="/v1/admin/asset-{name}",
        summary="A file that the page for operators loads; its name changes with its content",
        handler=get_admin_asset,
        response=Response(200, "The file", media_type="*/*"),
        query=Empty,
        body=Empty,
        access=Access.ADMIN_PAGE,
        refuses=(NotFound,),
        cache=FOREVER,
    ),
)
