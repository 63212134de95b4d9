from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from sipbridge.calls.events import CallStarted
from sipbridge.calls.model import CallState
from sipbridge.handoffs.record import Turn
from sipbridge.web.api import admin, box, chat_events, chats
from sipbridge.web.api.openapi import describe
from sipbridge.web.api.operation import AnyOperation
from sipbridge.web.app import OPERATIONS
from sipbridge.web.server import request_parsing
from sipbridge.web.server.guesses import GUESSES_PER_SECOND
from tests.store.records import START, make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, KEY, SALES_KEY

ALL = (*admin.OPERATIONS, *OPERATIONS)
DOCUMENT = describe(ALL, "http://127.0.0.1:8080")
TURN = {"role": "agent", "text": "Hello"}
GOOD_BODIES: dict[str, list[Any]] = {
    "hand_off": [None, {"destination": "care", "data": {"a": 1}}, {"handoff": {"type": "cxone", "cxone": {}}}],
    "add_turns": [TURN, {"turns": [TURN]}],
}
# Operation, status and the request that gets it, for every error that the document declares.
REFUSALS = [
    ("get_handoff_state", 400, {"query": ""}),
    ("get_handoff_state", 404, {"query": "?id=none"}),
    ("delete_handoff_state", 400, {"query": ""}),
    ("delete_handoff_state", 404, {"query": "?id=none"}),
    ("delete_handoff_state", 409, {"query": "?id=live"}),
    ("get_pop", 403, {"token": "x"}),
    ("get_pop", 404, {"token": "of a deleted call"}),
    ("list_calls", 400, {"query": "?limit=0"}),
    ("get_call", 404, {"call": "none"}),
    ("hand_off", 400, {"body": b"{"}),
    ("hand_off", 404, {"call": "none"}),
    ("hand_off", 409, {"call": "stored"}),
    ("hand_off", 408, {"stalls": True}),
    ("hand_off", 413, {"body": b" " * 1_100_000}),
    ("hand_off", 415, {"headers": {"Content-Encoding": "gzip"}, "body": b"{}"}),
    ("hand_off", 422, {"body": b'{"destination": "nowhere"}'}),
    ("hang_up", 404, {"call": "none"}),
    ("hang_up", 409, {"call": "stored"}),
    ("add_turns", 400, {"body": b"{"}),
    ("add_turns", 404, {"call": "none", "body": b'{"role": "agent", "text": "x"}'}),
    ("add_turns", 409, {"call": "stored", "body": b'{"role": "agent", "text": "x"}'}),
    ("add_turns", 408, {"stalls": True}),
    ("add_turns", 413, {"body": b" " * 1_100_000}),
    ("add_turns", 415, {"headers": {"Content-Encoding": "gzip"}, "body": b"{}"}),
    ("add_turns", 422, {"body": b"{}"}),
    ("readyz", 503, {"obstacle": "draining"}),
    ("reload", 422, {"problems": ["bridge.yaml: clients: is missing; it is required"]}),
]
OF_CHATS = (*chats.OPERATIONS, *chat_events.OPERATIONS, *box.OPERATIONS)  # they need chats
BY_NAME = {operation.name: operation for operation in ALL if operation not in OF_CHATS}


@pytest.fixture(autouse=True)
async def calls(bridge: Bridge) -> None:
    turns = (Turn(role="caller", text="Hi", at=START),)
    handoff = make_handoff(data={"nested": {"a": 1}, "n": 1, "none": None})
    await bridge.store.put(make_record("stored", state=CallState.ENDED, handoff=handoff, transcript=turns))
    bridge.directory.add(make_record("live", contact_id="contact-2", transcript=turns))


def schema_of(name: str, status: int, media_type: str) -> dict[str, Any]:
    operation = BY_NAME[name]
    responses = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    assert str(status) in responses, f"{name} does not declare {status}"
    schema: dict[str, Any] = responses[str(status)]["content"][media_type]["schema"]
    return schema


def schema_named(schema: dict[str, Any], name: str) -> dict[str, Any]:
    model = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][model]["properties"][name]
    return found


async def triggered_event(bridge: Bridge, response: aiohttp.ClientResponse) -> tuple[str, str]:
    """Trigger an event and return its name and data from the stream."""
    bridge.events(CallStarted(make_record("live")))
    lines = [(await response.content.readline()).decode().strip() for _ in range(2)]
    fields = dict(line.split(": ", 1) for line in lines)
    return fields["event"], fields["data"]


def check(body: object, schema: dict[str, Any]) -> None:
    OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(body)


def path_of(bridge: Bridge, name: str, call: str, query: str, token: str = "") -> str:
    token = token or bridge.pop_links.make(make_record("stored")).rpartition("/")[2]
    path = BY_NAME[name].path.format(account_id="acme", project_id="billing", call_id=call, token=token)
    return bridge.base + path + query


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


async def test_the_document_is_served_unchanged(bridge: Bridge) -> None:
    assert await bridge.get("/openapi.json", key=None) == (200, DOCUMENT)


def test_the_document_has_every_path_of_the_contract() -> None:
    project, of_box = "/v1/{account_id}/{project_id}", "/byoc/{account_id}/{project_id}/{channel}"
    assert {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods} == {
        ("GET", f"{project}/handoff_state"),
        ("DELETE", f"{project}/handoff_state"),
        ("GET", f"{project}/calls"),
        ("GET", f"{project}/calls/{{call_id}}"),
        ("POST", f"{project}/calls/{{call_id}}/handoff"),
        ("POST", f"{project}/calls/{{call_id}}/hangup"),
        ("POST", f"{project}/calls/{{call_id}}/turns"),
        ("GET", f"{project}/events"),
        ("GET", f"{project}/chat/availability"),
        ("POST", f"{project}/chats"),
        ("GET", f"{project}/chats"),
        ("GET", f"{project}/chats/{{chat_id}}"),
        ("GET", f"{project}/chats/{{chat_id}}/attachments/{{attachment_id}}"),
        ("POST", f"{project}/chats/{{chat_id}}/messages"),
        ("POST", f"{project}/chats/{{chat_id}}/typing"),
        ("POST", f"{project}/chats/{{chat_id}}/end"),
        ("GET", f"{project}/chats/{{chat_id}}/events"),
        ("POST", f"{of_box}/1.0/token"),
        ("POST", f"{of_box}/2.0/channel/{{channel_id}}/outbound"),
        ("POST", f"{of_box}/1.0/posts/{{post_id}}/messages"),
        ("POST", f"{of_box}/1.0/channel/{{channel_id}}/thread/{{thread_id}}/sender-action"),
        ("POST", f"{of_box}/1.0/channel/{{channel_id}}/thread/{{thread_id}}/release"),
        ("GET", "/pop/{token}"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/admin/drain"),
        ("POST", "/v1/admin/reload"),
        ("GET", "/v1/admin/status"),
    }


@pytest.mark.parametrize("name", BY_NAME)
async def test_each_operation_responds_as_declared(bridge: Bridge, name: str) -> None:
    operation = BY_NAME[name]
    call = "live" if operation.method == "POST" else "stored"
    query = "?id=stored" if name.endswith("_handoff_state") else ""
    for body in GOOD_BODIES.get(name, [None]):
        bridge.directory.calls[:] = [bridge.directory.add(make_record("live"))]
        url = path_of(bridge, name, call, query)
        if body is not None:
            described = DOCUMENT["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]
            check(body, described["schema"])
        headers = key_for(operation)
        async with bridge.session.request(operation.method, url, json=body, headers=headers) as response:
            assert response.status == operation.response.status
            if not operation.response.media_type:
                assert await response.read() == b""
                continue
            assert response.content_type == operation.response.media_type
            schema = schema_of(name, response.status, response.content_type)
            if response.content_type == "application/json":
                check(await response.json(), schema)
            elif response.content_type == "text/event-stream":
                name, data = await triggered_event(bridge, response)
                check({"event": name, "data": data}, schema)
                check(json.loads(data), schema_named(schema, "data")["contentSchema"])
            else:
                assert schema == {"type": "string"}


def key_for(operation: AnyOperation) -> dict[str, str]:
    return {"x-api-key": ADMIN_KEY if operation.for_admin else KEY} if operation.needs_key else {}


async def stalling() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


@pytest.mark.parametrize(("name", "status", "how"), REFUSALS)
async def test_each_refusal_is_declared(
    bridge: Bridge, name: str, status: int, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_parsing, "BODY_SECONDS", 0.1)
    operation = BY_NAME[name]
    bridge.obstacle = how.get("obstacle")
    token = how.get("token", "")
    if len(token) > 1:
        token = bridge.pop_links.make(make_record("deleted")).rpartition("/")[2]
    url = path_of(bridge, name, how.get("call", "live"), how.get("query", ""), token)
    bridge.admin_controls.problems = how.get("problems", [])
    headers = key_for(operation) | how.get("headers", {})
    body = stalling() if "stalls" in how else io.BytesIO(how.get("body", b""))
    async with bridge.session.request(operation.method, url, data=body, headers=headers) as response:
        assert response.status == status
        check(await response.json(), schema_of(name, status, "application/json"))


@pytest.mark.parametrize("name", [name for name, operation in BY_NAME.items() if operation.needs_key])
async def test_operations_with_keys_declare_the_error_of_a_wrong_key(bridge: Bridge, name: str) -> None:
    operation = BY_NAME[name]
    seen = []
    for key in ("wrong", SALES_KEY, *["guess"] * (2 * GUESSES_PER_SECOND)):
        url = path_of(bridge, name, "live", "")
        async with bridge.session.request(operation.method, url, headers={"x-api-key": key}) as response:
            seen.append(response.status)
            check(await response.json(), schema_of(name, response.status, "application/json"))
    assert seen[:2] == [401, 401 if operation.for_admin else 403]
    assert 429 in seen[2:]


def test_every_declared_refusal_is_tested() -> None:
    declared = {
        (name, int(status))
        for name, operation in BY_NAME.items()
        for status in DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
        if int(status) >= 400
    }
    everywhere = {(name, 500) for name in BY_NAME}
    keys = {(name, status) for name in BY_NAME if BY_NAME[name].needs_key for status in (401, 403, 429)}
    assert declared == {(name, status) for name, status, _ in REFUSALS} | everywhere | keys
