"""HEAD on every path with GET, and a slash at the end of any path."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats.model import ChatState
from tests.fakes.channel_box import CREDENTIALS
from tests.store.chats.chats import make_chat
from tests.store.records import make_handoff, make_record

from .conftest import Bridge
from .fakes import ADMIN_KEY, KEY, SALES_KEY

# Headers and text that differ between two requests.
_OF_THE_MOMENT = {"Date"}


@pytest.fixture(autouse=True)
async def stored(bridge: Bridge) -> None:
    await bridge.store.put(make_record(handoff=make_handoff()))
    await bridge.fake_chats.store.create(make_chat(client="acme", project="billing", state=ChatState.ENDED))


def paths(bridge: Bridge) -> dict[str, str]:
    """Return the paths with GET, each with the key that it needs."""
    link = bridge.pop_links.make(make_record()).removeprefix(bridge.config.http.public_url)
    project = [
        "handoff_state?id=call-1",
        "handoff_state?shared_id=none",
        "handoff_state",
        "calls",
        "calls?limit=0",
        "calls/call-1",
        "calls/none",
        "events",
        "chats",
        "chats?limit=0",
        "chats/chat-1",
        "chats/none",
        "chats/chat-1/events",
        "chats/none/events",
        "chats/chat-1/attachments/0123456789abcde",
        "chat/availability",
        "chat/availability?channel=none",
    ]
    keys = dict.fromkeys((f"{bridge.project}/{each}" for each in project), KEY)
    keys |= {f"{bridge.project}/calls/call-1": "wrong", "/v1/admin/status": ADMIN_KEY}
    keys |= {"/v1/admin/timeline?id=none": ADMIN_KEY, "/v1/admin/timeline": ADMIN_KEY}
    keys |= {"/v1/acme/sales/calls": KEY, "/v1/acme/billing/events": SALES_KEY}
    return keys | dict.fromkeys(("/healthz", "/readyz", "/metrics", "/openapi.json", "/pop/x", link, "/nowhere"), "")


async def request(bridge: Bridge, method: str, path: str, key: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers, and the part of the body that arrives at once."""
    headers = {"x-api-key": key} if key else {}
    async with bridge.session.request(method, bridge.base + path, headers=headers) as response:
        endless = method == "GET" and response.content_type == "text/event-stream"
        body = b"" if endless else await response.read()
        headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_MOMENT}
        return response.status, headers, body


async def test_head_gets_the_response_of_get_without_a_body(bridge: Bridge) -> None:
    for obstacle in (None, "draining"):
        bridge.obstacle = obstacle
        for path, key in paths(bridge).items():
            status, headers, _ = await request(bridge, "GET", path, key)
            headers.pop("Transfer-Encoding", None)  # only sent with a body
            assert await request(bridge, "HEAD", path, key) == (status, headers, b""), path


async def test_nothing_follows_a_response_to_head(bridge: Bridge) -> None:
    host, _, port = bridge.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for path in (f"{bridge.project}/events", f"{bridge.project}/calls", "/nowhere", "/metrics"):
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n\r\n".encode())
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    heads = (await reader.read()).split(b"\r\n\r\n")
    writer.close()
    assert [head.split()[1] for head in heads[:5]] == [b"200", b"200", b"404", b"200", b"200"]
    assert heads[5:] == [b'{"status":"ok"}']


async def test_head_of_the_stream_adds_no_reader(bridge: Bridge) -> None:
    async with bridge.session.head(bridge.url("events"), headers={"x-api-key": KEY}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
    assert len(bridge.events._readers) == 0  # noqa: SLF001 (not visible otherwise)


async def test_head_is_counted_as_get_is(bridge: Bridge) -> None:
    await request(bridge, "HEAD", f"{bridge.project}/calls/", KEY)
    await request(bridge, "HEAD", "/healthz", "")
    assert bridge.counted == [("list_calls", 200), ("healthz", 200)]


async def test_a_slash_at_the_end_is_the_same_resource(bridge: Bridge) -> None:
    for path, key in paths(bridge).items():
        where, mark, query = path.partition("?")
        expected = await request(bridge, "GET", path, key)
        assert await request(bridge, "GET", f"{where}/{mark}{query}", key) == expected, path


async def test_a_slash_at_the_end_works_for_call_control(bridge: Bridge) -> None:
    call = bridge.directory.add(make_record("live"))
    assert (await bridge.post("calls/live/turns/", body={"role": "agent", "text": "Hello"}))[0] == 202
    assert (await bridge.post("calls/live/handoff/"))[0] == 202
    assert (len(call.turns), len(call.requests)) == (1, 1)
    assert (await bridge.delete("handoff_state/?id=call-1"))[0] == 204
    assert (await bridge.post("/v1/admin/drain/", ADMIN_KEY))[0] == 202


async def test_a_slash_at_the_end_works_for_chats_and_boxes(bridge: Bridge) -> None:
    assert (await bridge.post("chats/", body={"id": "c1"}))[0] == 202
    assert (await bridge.post("chats/c1/messages/", body={"text": "Hello"}))[0] == 202
    assert (await bridge.post("chats/c1/typing/", body={"state": "started"}))[0] == 202
    assert (await bridge.post("chats/c1/end/"))[0] == 202
    grant = {"grant_type": "client_credentials", "client_id": CREDENTIALS[0], "client_secret": CREDENTIALS[1]}
    assert (await bridge.post("/byoc/acme/billing/sms/1.0/token/", None, grant))[0] == 200


async def test_several_slashes_are_another_path(bridge: Bridge) -> None:
    for path in ("/healthz//", "//healthz", f"{bridge.project}/calls//", f"{bridge.project}//calls"):
        assert (await bridge.get(path))[0] == 404


@pytest.mark.parametrize("slash", ["", "/"])
async def test_allow_names_head_where_get_is(bridge: Bridge, slash: str) -> None:
    expected = {"calls": "GET,HEAD", "calls/call-1/hangup": "POST", "handoff_state": "DELETE,GET,HEAD"}
    expected |= {"chats": "GET,HEAD,POST", "chats/c1/events": "GET,HEAD", "/byoc/a/b/c/1.0/token": "POST"}
    for path, methods in expected.items():
        for method in ("PUT", "OPTIONS"):
            async with bridge.session.request(method, bridge.url(path + slash)) as response:
                assert (response.status, response.headers["Allow"]) == (405, methods)
                assert (await response.json())["error_message"] == f"use {' or '.join(methods.split(','))} here"
