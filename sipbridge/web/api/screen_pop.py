"""The page that a pop link opens, for human agents; for programs the same data as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.chats.model import ChatRecord
from sipbridge.errors import NotFound, StoreError
from sipbridge.web.api.handoff_state import HandedOff, find_handoff, handoff_response
from sipbridge.web.api.operation import Empty, Operation, RequestContext, Response
from sipbridge.web.api.schemas import HandoffStateResponse
from sipbridge.web.api.turns import read_turns
from sipbridge.web.html.assets import FOREVER
from sipbridge.web.screen_pop import pages
from sipbridge.web.screen_pop.accept import prefers_json
from sipbridge.web.screen_pop.texts import words
from sipbridge.web.screen_pop.view import view_of_call, view_of_chat
from sipbridge.web.server.auth import Access
from sipbridge.web.server.errors import ExpiredLink, InvalidLink
from sipbridge.web.server.pacing import PACER


class PageQuery(BaseModel):
    """The part of the conversation to show."""

    transcript: Annotated[str, Field(max_length=16, description="`all` shows all messages.")] = ""


async def get_pop(context: RequestContext[PageQuery, Empty]) -> web.Response:
    """Return the call or chat that the link names: a page, or JSON for a program."""
    if prefers_json(context.request.headers.get("Accept", "")):
        return handoff_response(await _find(context))
    try:
        return _html(await _page(context, await _find(context)))
    except ExpiredLink as error:
        return _problem(context, "expired", error.http_status)
    except InvalidLink as error:
        return _problem(context, "invalid", error.http_status)
    except NotFound as error:
        return _problem(context, "erased", error.http_status)
    except StoreError:
        return _problem(context, "unavailable", 500)


async def get_pop_asset(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return a file that the page loads."""
    asset = pages.find_asset(context.request.match_info["name"], context.deps.config().http.pop_page)
    if asset is None:
        raise NotFound("no such file")
    return asset.response()


async def _find(context: RequestContext[PageQuery, Empty]) -> HandedOff:
    target = context.deps.pop_links.verify(context.request.match_info["token"])
    return await find_handoff(context.deps, target.client, target.project, target.call_id)


async def _page(context: RequestContext[PageQuery, Empty], found: HandedOff) -> str:
    http = context.deps.config().http
    texts = words(http.pop_page.language, context.request.headers.get("Accept-Language", ""))
    labels = http.pop_page.fields
    record = found.record
    turns = await read_turns(context.deps, record) if isinstance(record, ChatRecord) else ()
    # The store may have responded to many requests in one turn of the loop.
    await context.request.app[PACER].next_turn()
    if isinstance(record, ChatRecord):
        view = view_of_chat(record, turns, texts, labels)
    else:
        view = view_of_call(record, found.handoff, texts, labels)
    return pages.render_page(
        view,
        http.pop_page,
        texts,
        base=_base(http.public_url),
        token=context.request.match_info["token"],
        now=datetime.now(UTC),
        whole=context.query.transcript == "all",
    )


def _base(public_url: str) -> str:
    """Return the path of pop links as browsers see it: a proxy may have added a prefix."""
    return f"{urlsplit(public_url).path}/pop"


def _problem(context: RequestContext[PageQuery, Empty], problem: pages.Problem, status: int) -> web.Response:
    http = context.deps.config().http
    texts = words(http.pop_page.language, context.request.headers.get("Accept-Language", ""))
    return _html(pages.render_problem(problem, http.pop_page, texts, base=_base(http.public_url)), status)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


OPERATIONS = (
    Operation(
        method="GET",
        path="/pop/assets/{name}",
        summary="A file that the page of a screen-pop loads; its name changes with its content",
        handler=get_pop_asset,
        response=Response(200, "The file", media_type="*/*"),
        query=Empty,
        body=Empty,
        access=Access.PUBLIC,
        refuses=(NotFound,),
        cache=FOREVER,
        paced=True,
    ),
    Operation(
        method="GET",
        path="/pop/{token}",
        summary="The call or chat that a signed link names: a page, or JSON if the request prefers it",
        handler=get_pop,
        response=Response(200, "The handoff", HandoffStateResponse),
        query=PageQuery,
        body=Empty,
        access=Access.PUBLIC,
        refuses=(InvalidLink, NotFound),
        page=True,
        paced=True,
    ),
)
