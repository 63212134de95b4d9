"""DFO REST in the forms that NICE does not document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipbridge.config import ByocChannelConfig
from sipbridge.cxone.digital.byoc.rest import DfoRest, contact_id_of, dfo_base
from sipbridge.cxone.tokens import Access
from sipbridge.errors import CxoneError, CxoneRefused, HttpNotReached
from sipbridge.http import HttpClient

FIRST = {"direction": "outbound", "createdAt": "2026-11-28T19:00:00+00:00", "id": "1"}
SECOND = {"direction": "inbound", "createdAt": "2026-11-28T19:00:05+00:00", "id": "2"}


class Tokens:
    """An `AccessSource` with one token after the other, or none. `dropped` has those that CXone refused."""

    def __init__(self) -> None:
        self.dropped: list[Access] = []
        self.failing: CxoneError | None = None

    async def get(self) -> Access:
        if self.failing is not None:
            raise self.failing
        return Access(f"token-{len(self.dropped)}", "https://api-na1.niceincontact.com", 0.0)

    def drop(self, refused: Access) -> None:
        self.dropped.append(refused)


@asynccontextmanager
async def cxone(http: HttpClient, *responses: Any) -> AsyncIterator[tuple[DfoRest, list[str], Tokens]]:  # noqa: ANN401 (JSON, or a status)
    """Serve responses one after the other; yield the client, the queries that came in, and the tokens."""
    queries: list[str] = []
    waiting = list(responses)

    async def respond(request: web.Request) -> web.Response:
        queries.append(request.query_string)
        given = waiting.pop(0)
        if isinstance(given, int):
            return web.Response(status=given, headers={"Retry-After": "7"})
        return web.json_response(given)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    async with TestServer(app) as server:
        settings = {"type": "byoc", "channel_id": "c", "box": {"client_id": "a", "client_secret": "b"}}
        config = ByocChannelConfig.model_validate(settings | {"api_url": str(server.make_url("/dfo/3.0"))})
        tokens = Tokens()
        yield DfoRest(config, http, tokens), queries, tokens


@pytest.mark.parametrize(
    "body",
    [
        [FIRST, SECOND],
        [SECOND, FIRST],
        {"data": [SECOND, FIRST]},
        {"messages": [FIRST, SECOND], "hits": 2},
        {"hits": [FIRST, SECOND]},
    ],
)
async def test_messages_are_read_from_any_form_of_list_oldest_first(http: HttpClient, body: object) -> None:
    async with cxone(http, body) as (rest, _, _):
        assert await rest.contact_messages("1") == [FIRST, SECOND]


async def test_messages_of_the_same_second_keep_their_order(http: HttpClient) -> None:
    third = {**SECOND, "id": "3"}
    async with cxone(http, [FIRST, SECOND, third], [third, SECOND, FIRST]) as (rest, _, _):
        for _ in range(2):
            assert await rest.contact_messages("1") == [FIRST, SECOND, third]


@pytest.mark.parametrize("body", [{}, [], {"data": None}, {"hits": 0}, "text", None])
async def test_a_list_without_entries_is_empty(http: HttpClient, body: object) -> None:
    async with cxone(http, body) as (rest, _, _):
        assert await rest.contact_messages("1") == []


async def test_all_pages_are_read(http: HttpClient) -> None:
    async with cxone(http, {"data": [FIRST], "scrollToken": "a&b"}, {"data": [SECOND]}) as (rest, queries, _):
        assert await rest.contact_messages("1") == [FIRST, SECOND]
        assert queries == ["", "scrollToken=a%26b"]


async def test_a_busy_cxone_is_asked_for_the_same_page_again(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.cxone.digital.byoc.rest.MAX_PAUSE_SECONDS", 0.01)
    async with cxone(http, {"data": [FIRST], "scrollToken": "a"}, 429, 429, {"data": [SECOND]}) as (rest, queries, _):
        assert await rest.contact_messages("1") == [FIRST, SECOND]
        assert queries == ["", *["scrollToken=a"] * 3]


async def test_a_page_without_entries_is_the_last(http: HttpClient) -> None:
    async with cxone(http, {"data": [FIRST], "scrollToken": "a"}, {"data": [], "scrollToken": "a"}) as (rest, _, _):
        assert await rest.contact_messages("1") == [FIRST]


async def test_a_message_that_cxone_does_not_know(http: HttpClient) -> None:
    async with cxone(http, 404, {"data": []}) as (rest, _, _):
        assert await rest.find_message("m-1") is None
        assert await rest.find_message("m-1") is None


async def test_the_newest_contact_of_a_thread_is_found(http: HttpClient) -> None:
    contacts = [
        {"id": "1", "threadIdOnExternalPlatform": "t", "createdAt": "2026-11-28T19:00:00+00:00"},
        {"id": "3", "threadIdOnExternalPlatform": "t", "createdAt": "2026-11-28T20:00:00+00:00"},
        {"id": "4", "threadIdOnExternalPlatform": "other", "createdAt": "2026-11-28T21:00:00+00:00"},
    ]
    async with cxone(http, {"data": contacts}, {"data": []}) as (rest, _, _):
        found = await rest.find_contact("customer", "t")
        assert found is not None
        assert found["id"] == "3"
        assert await rest.find_contact("customer", "t") is None


@pytest.mark.parametrize(("status", "is_temporary"), [(429, True), (503, True), (400, False), (409, False)])
async def test_a_refusal_says_if_it_is_temporary(http: HttpClient, status: int, is_temporary: bool) -> None:  # noqa: FBT001 (a parameter of a test)
    async with cxone(http, status) as (rest, _, _):
        with pytest.raises(CxoneRefused) as caught:
            await rest.contact("1")
    assert (caught.value.status, caught.value.retry_after, caught.value.is_temporary) == (status, 7.0, is_temporary)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_dropped_and_another_one_used(http: HttpClient, status: int) -> None:
    async with cxone(http, status, {"id": "1"}) as (rest, _, tokens):
        assert await rest.contact("1") == {"id": "1"}
        assert len(tokens.dropped) == 1


async def test_a_contact_that_is_wrapped_is_unwrapped(http: HttpClient) -> None:
    async with cxone(http, {"contact": {"id": "1"}}) as (rest, _, _):
        assert await rest.contact("1") == {"id": "1"}


def test_the_contact_of_a_message() -> None:
    assert contact_id_of({"id": "7"}) == "7"
    assert contact_id_of({"direction": "inbound", "id": "m", "contactNumber": 7}) == "7"
    assert contact_id_of({"direction": "inbound", "id": "m", "contact": {"id": "7"}}) == "7"
    assert contact_id_of({"direction": "inbound", "id": "m"}) == ""


def test_the_base_follows_from_the_area() -> None:
    assert dfo_base("https://api-na1.niceincontact.com") == "https://api-de-na1.niceincontact.com/dfo/3.0"
    assert dfo_base("https://api-eu1.niceincontact.com/") == "https://api-de-eu1.niceincontact.com/dfo/3.0"
    with pytest.raises(CxoneError, match="api_url"):
        dfo_base("https://api-c57.nice-incontact.com")


async def test_without_a_token_nothing_is_sent(http: HttpClient) -> None:
    async with cxone(http) as (rest, queries, tokens):
        tokens.failing = CxoneError("the token endpoint responded with 500")
        with pytest.raises(HttpNotReached, match="responded with 500"):
            await rest.post_message({"idOnExternalPlatform": "1"})
        assert not queries
