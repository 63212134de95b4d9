"""Requests about calls that another node carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sipbridge.errors import HttpError, HttpNotReached, StoreError
from sipbridge.http import Response
from sipbridge.http.node_headers import FORWARDED
from sipbridge.web import Forwarder
from tests.store.records import make_record
from tests.web.conftest import Bridge
from tests.web.fakes import KEY

OWNER = "http://10.0.0.6:8080"


class Owner:
    """The node that carries `call-2`, and the way to it. `failing` is raised instead of a response."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.response = Response(202, {b"content-type": "application/json"}, b'{"id": "call-2"}')
        self.failing: Exception | None = None
        self.lookups: list[str] = []
        self.lookup_failing: Exception | None = None

    async def find(self, call_id: str) -> str | None:
        self.lookups.append(call_id)
        if self.lookup_failing is not None:
            raise self.lookup_failing
        return OWNER if call_id == "call-2" else None

    async def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, **_: object) -> Response:
        self.requests.append((method, url, headers, body))
        if self.failing is not None:
            raise self.failing
        return self.response


@pytest.fixture
def owner(bridge: Bridge) -> Owner:
    made: Any = Owner()
    bridge.forward = Forwarder(made, made.find).forward
    found: Owner = made
    return found


async def test_a_command_goes_to_the_owner_once_with_the_key_and_the_body(bridge: Bridge, owner: Owner) -> None:
    assert await bridge.post("calls/call-2/handoff?a=b", body={"reason": "asked"}) == (202, {"id": "call-2"})
    ((method, url, headers, body),) = owner.requests
    assert (method, url) == ("POST", f"{OWNER}/v1/acme/billing/calls/call-2/handoff?a=b")
    assert headers["x-api-key"] == KEY
    assert FORWARDED in headers
    assert body == b'{"reason": "asked"}'


@pytest.mark.parametrize("path", ["calls/call-2", "calls/call-2/hangup", "calls/call-2/turns"])
async def test_every_request_about_the_call_does(bridge: Bridge, owner: Owner, path: str) -> None:
    if path == "calls/call-2":
        await bridge.get(path)
    else:
        await bridge.post(path, body={"role": "agent", "text": "Hello"})
    assert len(owner.requests) == 1


async def test_a_request_that_came_from_a_node_goes_no_further(bridge: Bridge, owner: Owner) -> None:
    headers = {"x-api-key": KEY, FORWARDED: "1"}
    async with bridge.session.post(bridge.url("calls/call-2/hangup"), headers=headers) as response:
        assert response.status == 404
    assert owner.lookups == []


async def test_a_call_of_this_node_needs_no_lookup(bridge: Bridge, owner: Owner) -> None:
    bridge.directory.add(make_record("call-1"))
    assert (await bridge.post("calls/call-1/hangup"))[0] == 202
    assert owner.lookups == []


@pytest.mark.parametrize("failing", [HttpNotReached("no connection"), HttpError("no response")])
async def test_an_owner_that_does_not_respond_is_503_with_retry_after(
    bridge: Bridge, owner: Owner, failing: Exception
) -> None:
    owner.failing = failing
    async with bridge.session.post(bridge.url("calls/call-2/hangup"), headers={"x-api-key": KEY}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await response.json())["code"] == "unavailable"


async def test_without_redis_a_node_responds_from_what_it_knows(bridge: Bridge, owner: Owner) -> None:
    owner.lookup_failing = StoreError("Redis has not responded")
    await bridge.store.put(make_record("call-3", state="ended"))
    assert (await bridge.get("calls/call-3"))[0] == 200


async def test_the_key_is_checked_before_anything_is_sent_on(bridge: Bridge, owner: Owner) -> None:
    assert (await bridge.post("calls/call-2/hangup", key="wrong"))[0] == 401
    assert (await bridge.post("calls/call-2/handoff", body=b"{"))[0] == 400
    assert owner.lookups == []
