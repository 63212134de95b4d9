"""Requests about calls that another node carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from sipbridge.cluster.secret import NodeSecret
from sipbridge.errors import HttpError, HttpNotReached, StoreError
from sipbridge.http import Response
from sipbridge.http.node_headers import FORWARDED
from sipbridge.web import Forwarder, NodeReport, OtherNode, make_app, start_web
from sipbridge.web.api.schemas import CallList, CallSummary
from tests.store.records import make_record
from tests.web.conftest import Bridge
from tests.web.fakes import KEY

OWNER = OtherNode("epoch-of-owner", "http://10.0.0.6:8080", has_lease=True)
SECRET = NodeSecret("shared-by-all-nodes")


class Owner:
    """The node that carries `call-2`, as this one sees it, and the way to it.

    `failing` is raised instead of a response.
    """

    epoch = "epoch-of-this-node"

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.response = Response(202, {b"content-type": "application/json"}, b'{"id": "call-2"}')
        self.failing: Exception | None = None
        self.lookups: list[str] = []
        self.forwards = 0
        self.lookup_failing: Exception | None = None
        self.has_lease = True

    def respond_to_probe(self, _: str) -> str | None:
        return self.epoch

    def sign(self, *parts: str) -> str:
        return SECRET.sign(*parts)

    def count_forward(self) -> None:
        self.forwards += 1

    async def all(self) -> list[NodeReport]:
        return []

    def others(self) -> list[OtherNode]:
        return [OWNER._replace(has_lease=self.has_lease)]

    async def owner_of_chat(self, client: str, project: str, chat_id: str) -> OtherNode | None:
        assert (client, project) == ("acme", "billing")
        return await self.owner_of_call(chat_id)

    async def owner_of_call(self, call_id: str) -> OtherNode | None:
        self.lookups.append(call_id)
        if self.lookup_failing is not None:
            raise self.lookup_failing
        return OWNER._replace(has_lease=self.has_lease) if call_id == "call-2" else None

    async def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, **_: object) -> Response:
        self.requests.append((method, url, headers, body))
        if self.failing is not None:
            raise self.failing
        return self.response


@pytest.fixture
async def owner(bridge: Bridge) -> AsyncIterator[Owner]:
    made = Owner()
    http: Any = made
    deps = replace(bridge.deps(), nodes=made, forwarder=Forwarder(http, made))
    runner, (host, port) = await start_web(make_app(deps), "127.0.0.1", 0)
    bridge.base = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


async def forwarded(bridge: Bridge, path: str, hop: str) -> tuple[int, Any]:
    """Post with the header of a request that another node has sent on."""
    async with bridge.session.post(bridge.url(path), headers={"x-api-key": KEY, FORWARDED: hop}) as response:
        return response.status, await response.json()


def signed(path: str, epoch: str = Owner.epoch, method: str = "POST") -> str:
    return f"{epoch} {SECRET.sign('forward', epoch, method, path)}"


async def test_a_command_goes_to_the_owner_once_with_the_key_and_the_body(bridge: Bridge, owner: Owner) -> None:
    assert await bridge.post("calls/call-2/handoff?a=b", body={"reason": "asked"}) == (202, {"id": "call-2"})
    ((method, url, headers, body),) = owner.requests
    assert (method, url) == ("POST", f"{OWNER.url}/v1/acme/billing/calls/call-2/handoff?a=b")
    assert headers["x-api-key"] == KEY
    assert headers[FORWARDED] == signed("/v1/acme/billing/calls/call-2/handoff?a=b", OWNER.epoch)
    assert body == b'{"reason": "asked"}'


@pytest.mark.parametrize("path", ["calls/call-2", "calls/call-2/hangup", "calls/call-2/turns"])
async def test_every_request_about_the_call_does(bridge: Bridge, owner: Owner, path: str) -> None:
    if path == "calls/call-2":
        await bridge.get(path)
    else:
        await bridge.post(path, body={"role": "agent", "text": "Hello"})
    assert len(owner.requests) == 1


async def test_a_request_that_came_from_a_node_goes_no_further(bridge: Bridge, owner: Owner) -> None:
    path = "calls/call-2/hangup"
    assert (await forwarded(bridge, path, signed(f"{bridge.project}/{path}")))[0] == 404
    assert owner.lookups == []


async def test_a_request_for_an_earlier_run_at_this_address_is_503(bridge: Bridge, owner: Owner) -> None:
    path = "calls/call-2/hangup"
    status, body = await forwarded(bridge, path, signed(f"{bridge.project}/{path}", "epoch-before"))
    assert (status, body["code"], owner.requests) == (503, "unavailable", [])


@pytest.mark.parametrize(
    "hop",
    [
        "1",
        "",
        "ü ü",
        Owner.epoch,
        signed("/v1/acme/billing/calls/call-2/hangup", method="GET"),
        signed("/v1/acme/billing/calls/call-1/hangup"),
        signed("/v1/acme/billing/calls/call-2/hangup").replace(Owner.epoch, OWNER.epoch),
    ],
)
async def test_the_header_of_another_program_is_refused(bridge: Bridge, owner: Owner, hop: str) -> None:
    bridge.directory.add(make_record("call-2"))
    status, body = await forwarded(bridge, "calls/call-2/hangup", hop)
    assert (status, owner.lookups) == (400, [])
    assert body["error_message"] == "X-Sipbridge-Forwarded is for requests between the bridges; remove it"


async def test_a_call_of_this_node_needs_no_lookup(bridge: Bridge, owner: Owner) -> None:
    bridge.directory.add(make_record("call-1"))
    assert (await bridge.post("calls/call-1/hangup"))[0] == 202
    assert owner.lookups == []


@pytest.mark.parametrize("what", ["messages", "typing", "end"])
async def test_so_does_every_request_of_the_bot_about_its_chat(bridge: Bridge, owner: Owner, what: str) -> None:
    bodies = {"messages": {"id": "m1", "text": "Hello"}, "typing": {"state": "started"}, "end": {"reason": "done"}}
    assert (await bridge.post(f"chats/call-2/{what}", body=bodies[what]))[0] == 202
    assert [url for _, url, _, _ in owner.requests] == [f"{OWNER.url}/v1/acme/billing/chats/call-2/{what}"]
    assert owner.forwards == 1


async def test_a_chat_is_read_from_the_store(bridge: Bridge, owner: Owner) -> None:
    assert (await bridge.get("chats/call-2"))[0] == 404
    assert owner.requests == []


def listed(*call_ids: str, state: str = "talking") -> bytes:
    """Return the response of a node that carries these calls."""
    records = [make_record(call_id, state=state) for call_id in call_ids]
    return CallList(calls=[CallSummary.of(record) for record in records]).model_dump_json().encode()


async def test_the_list_of_calls_has_those_of_all_nodes_once_and_the_live_ones_as_they_are(
    bridge: Bridge, owner: Owner
) -> None:
    bridge.directory.add(make_record("call-1"))
    await bridge.store.put(make_record("call-2", state="handing_off"))
    await bridge.store.put(make_record("call-3", state="ended"))
    owner.response = Response(200, {}, listed("call-2", "call-4"))
    status, body = await bridge.get("calls?limit=10")
    states = {call["id"]: call["state"] for call in body["calls"]}
    assert (status, len(body["calls"])) == (200, 4)
    assert states == {"call-1": "talking", "call-2": "talking", "call-3": "ended", "call-4": "talking"}
    ((method, url, _, _),) = owner.requests
    assert (method, url) == ("GET", f"{OWNER.url}/v1/acme/billing/calls?limit=10")


async def test_the_list_leaves_a_node_out_that_does_not_respond(bridge: Bridge, owner: Owner) -> None:
    bridge.directory.add(make_record("call-1"))
    owner.failing = HttpError("no response")
    _, body = await bridge.get("calls")
    assert [call["id"] for call in body["calls"]] == ["call-1"]


async def test_another_node_gets_the_live_calls_of_this_one_only(bridge: Bridge, owner: Owner) -> None:
    bridge.directory.add(make_record("call-1"))
    await bridge.store.put(make_record("call-3", state="ended"))
    hop = signed(f"{bridge.project}/calls", method="GET")
    async with bridge.session.get(bridge.url("calls"), headers={"x-api-key": KEY, FORWARDED: hop}) as response:
        assert [call["id"] for call in (await response.json())["calls"]] == ["call-1"]
    assert owner.requests == []


@pytest.mark.parametrize("query", ["id=call-2", "shared_id=shared-2"])
async def test_an_erasure_is_that_of_all_nodes(bridge: Bridge, owner: Owner, query: str) -> None:
    owner.response = Response(204, {}, b"")
    assert (await bridge.delete(f"handoff_state?{query}"))[0] == 204
    owner.response = Response(404, {}, b"{}")
    assert (await bridge.delete(f"handoff_state?{query}"))[0] == 404
    assert [(method, url) for method, url, _, _ in owner.requests] == [
        ("DELETE", f"{OWNER.url}/v1/acme/billing/handoff_state?{query}")
    ] * 2


@pytest.mark.parametrize(
    ("response", "has_lease", "status"),
    [(409, True, 409), (500, True, 503), (None, True, 503), (204, False, 503)],
    ids=["in progress there", "failed there", "no response", "no lease"],
)
async def test_nothing_is_erased_here_unless_all_nodes_can(
    bridge: Bridge, owner: Owner, *, response: int | None, has_lease: bool, status: int
) -> None:
    await bridge.store.put(make_record("call-2", state="ended"))
    owner.response, owner.has_lease = Response(response or 0, {}, b""), has_lease
    owner.failing = None if response else HttpError("no response")
    assert (await bridge.delete("handoff_state?id=call-2"))[0] == status
    assert await bridge.store.get("acme", "billing", "call-2") is not None


async def test_an_erasure_that_a_node_has_sent_on_is_done_here_only(bridge: Bridge, owner: Owner) -> None:
    await bridge.store.put(make_record("call-3", state="ended"))
    path = "handoff_state?id=call-3"
    headers = {"x-api-key": KEY, FORWARDED: signed(f"{bridge.project}/{path}", method="DELETE")}
    async with bridge.session.delete(bridge.url(path), headers=headers) as response:
        assert response.status == 204
    assert owner.requests == []


@pytest.mark.parametrize("failing", [HttpNotReached("no connection"), HttpError("no response")])
async def test_an_owner_that_does_not_respond_is_503_with_retry_after(
    bridge: Bridge, owner: Owner, failing: Exception
) -> None:
    owner.failing = failing
    async with bridge.session.post(bridge.url("calls/call-2/hangup"), headers={"x-api-key": KEY}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await response.json())["code"] == "unavailable"


async def test_an_owner_without_a_lease_is_not_asked(bridge: Bridge, owner: Owner) -> None:
    owner.has_lease = False
    assert (await bridge.post("calls/call-2/hangup"))[0] == 503
    assert owner.requests == []


async def test_a_call_that_has_ended_needs_no_owner(bridge: Bridge, owner: Owner) -> None:
    owner.has_lease = False
    await bridge.store.put(make_record("call-2", state="handing_off"))
    assert (await bridge.get("calls/call-2"))[0] == 503
    await bridge.store.put(make_record("call-2", state="ended"))
    status, call = await bridge.get("calls/call-2")
    assert (status, call["state"]) == (200, "ended")
    assert (await bridge.post("calls/call-2/hangup"))[0] == 409


async def test_without_redis_a_node_responds_from_what_it_knows(bridge: Bridge, owner: Owner) -> None:
    owner.lookup_failing = StoreError("Redis has not responded")
    await bridge.store.put(make_record("call-3", state="ended"))
    assert (await bridge.get("calls/call-3"))[0] == 200


async def test_the_key_is_checked_before_anything_is_sent_on(bridge: Bridge, owner: Owner) -> None:
    assert (await bridge.post("calls/call-2/hangup", key="wrong"))[0] == 401
    assert (await bridge.post("calls/call-2/handoff", body=b"{"))[0] == 400
    assert owner.lookups == []
