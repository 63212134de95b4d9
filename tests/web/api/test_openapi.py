from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from fnmatch import fnmatch
from typing import Any

import aiohttp
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from sipbridge.calls.events import AgentConnected, CallStarted
from sipbridge.calls.model import CallState
from sipbridge.chats.model import ChatEventType, ChatState
from sipbridge.chats.ports import ChatChange
from sipbridge.chats.request import ChatRequest
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import Turn
from sipbridge.web.api.openapi import describe
from sipbridge.web.api.operation import AnyOperation
from sipbridge.web.api.webhooks import WEBHOOKS
from sipbridge.web.app import ADMIN_OPERATIONS, OPERATIONS
from sipbridge.web.operators import page as operators_page
from sipbridge.web.screen_pop.pages import assets
from sipbridge.web.server import guesses, request_parsing, slots
from sipbridge.web.server.auth import Access
from tests.fakes.channel_box import THREAD
from tests.store.chats.chats import make_chat, make_event, make_message
from tests.store.records import START, make_handoff, make_record
from tests.web.api.requests import FILE, GOOD_BODIES, GRANT, REFUSALS
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, KEY, SALES_KEY

ALL = (*ADMIN_OPERATIONS, *OPERATIONS)
DOCUMENT = describe(ALL, "http://127.0.0.1:8080", WEBHOOKS)
BOX_TOKEN = "token of acme/billing"
BY_NAME = {operation.name: operation for operation in ALL}
GUESSES = 20


@pytest.fixture
def low_limit_on_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow few guesses, so that a slow machine exceeds the limit too."""
    monkeypatch.setattr(guesses, "GUESSES_PER_SECOND", 2)


@pytest.fixture
async def bridge(low_limit_on_guesses: None, bridge: Bridge) -> Bridge:  # noqa: ARG001 (the limit comes first)
    return bridge


@pytest.fixture(autouse=True)
async def calls(bridge: Bridge) -> None:
    turns = (Turn(role="caller", text="Hi", at=START),)
    handoff = make_handoff(data={"nested": {"a": 1}, "n": 1, "none": None})
    await bridge.store.put(make_record("stored", state=CallState.ENDED, handoff=handoff, transcript=turns))
    bridge.directory.add(make_record("live", contact_id="contact-2", transcript=turns))
    bridge.last_hour(CallStarted(make_record("stored")))
    bridge.last_hour(AgentConnected(make_record("stored"), "sip", Outcome(Result.SUCCESS, "connected")))


@pytest.fixture(autouse=True)
async def chats(bridge: Bridge) -> None:
    """A live and an ended chat, and one that an earlier run has left open."""
    chats = bridge.fake_chats
    owner: dict[str, Any] = {"client": "acme", "project": "billing"}
    await chats.reception.start("acme", "billing", ChatRequest(id="live", utterance="Hi", data={"a": 1}))
    ended = make_chat("stored", **owner, state=ChatState.ENDED, ended_at=START, ended_by="agent", reason="closed")
    for record in (ended, make_chat("not-resumed", **owner)):
        await chats.store.create(record)
    written = make_event(1, "stored", payload={"message_id": "a1", "text": "Hello", "attachments": []})
    over = make_event(2, "stored", type=ChatEventType.CHAT_ENDED, payload={"by": "agent", "reason": "closed"})
    await chats.store.write(ChatChange(ended.uid, None, (make_message(), written, over, FILE)))


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


async def triggered_event(bridge: Bridge, response: aiohttp.ClientResponse) -> dict[str, str]:
    """Trigger an event and return its fields in the stream."""
    bridge.report(CallStarted(make_record("live")))
    lines = [(await response.content.readline()).decode().strip() for _ in range(3)]
    return dict(line.split(": ", 1) for line in lines)


def check(body: object, schema: dict[str, Any]) -> None:
    OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(body)


def path_of(bridge: Bridge, name: str, call: str, query: str, token: str = "") -> str:
    files = operators_page.assets if BY_NAME[name].for_admin else assets
    token = token or bridge.pop_links.make(make_record("stored")).rpartition("/")[2]
    path = BY_NAME[name].path.format(
        account_id="acme",
        project_id="billing",
        call_id=call,
        chat_id=call.replace(" ", "-"),
        attachment_id=FILE.id,
        token=token,
        name="none" if call == "none" else next(iter(files())),
        channel="sms",
        channel_id="c",
        post_id="p",
        thread_id="none" if call == "none" else THREAD,
    )
    return bridge.base + path + query


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


def test_the_requests_to_webhooks_are_described() -> None:
    described = DOCUMENT["webhooks"]
    assert set(described) == {"callEvent", "chatEvent"}
    (schema,) = described["callEvent"]["post"]["requestBody"]["content"].values()
    assert schema["schema"] == {"$ref": "#/components/schemas/CallEventMessage"}
    fields = DOCUMENT["components"]["schemas"]["CallEventMessage"]["properties"]
    assert list(fields) == ["id", "sequence", "call_id", "type", "at", "payload"]


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
        ("GET", "/pop/{token}/events"),
        ("GET", "/pop/assets/{name}"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/admin/drain"),
        ("POST", "/v1/admin/reload"),
        ("GET", "/v1/admin/status"),
        ("GET", "/v1/admin/activity"),
        ("GET", "/v1/admin/timeline"),
        ("GET", "/v1/admin"),
        ("GET", "/v1/admin/asset-{name}"),
    }


@pytest.mark.parametrize("name", BY_NAME)
async def test_each_operation_responds_as_declared(bridge: Bridge, name: str) -> None:
    operation = BY_NAME[name]
    call = "live" if operation.method == "POST" else "stored"
    query = "?id=stored" if name.endswith(("_handoff_state", "_timeline")) else ""
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
            assert fnmatch(response.content_type, operation.response.media_type)
            schema = schema_of(name, response.status, operation.response.media_type)
            if response.content_type == "application/json":
                check(await response.json(), schema)
            elif name in ("stream_chat_events", "stream_pop_events"):
                for event in (await response.text()).strip().split("\r\n\r\n"):
                    fields = dict(line.split(": ", 1) for line in event.split("\r\n"))
                    check(fields, schema)
                    check(json.loads(fields["data"]), schema_named(schema, "data")["contentSchema"])
            elif response.content_type == "text/event-stream":
                fields = await triggered_event(bridge, response)
                check(fields, schema)
                check(json.loads(fields["data"]), schema_named(schema, "data")["contentSchema"])
            else:
                assert schema == {"type": "string"}


def key_for(operation: AnyOperation) -> dict[str, str]:
    if operation.access is Access.BOX:
        return {"Authorization": f"Bearer {BOX_TOKEN}"}
    if operation.page:
        return {"Accept": "application/json"}
    return {"x-api-key": ADMIN_KEY if operation.for_admin else KEY} if operation.needs_key else {}


async def stalling() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


@pytest.mark.parametrize(("name", "status", "how"), REFUSALS)
async def test_each_refusal_is_declared(
    bridge: Bridge, name: str, status: int, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_parsing, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(slots, "MAX_PAGES", 0 if "no pages" in how else slots.MAX_PAGES)
    operation = BY_NAME[name]
    bridge.obstacle = how.get("obstacle")
    bridge.fake_chats.recovered = "recovering" not in how
    bridge.fake_chats.boxes["acme", "billing", "sms"].stalls = "box_stalls" in how
    if "draining" in how:
        bridge.fake_chats.reception.drain()
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
    for key in ("wrong", SALES_KEY, *["guess"] * GUESSES):
        url = path_of(bridge, name, "live", "")
        async with bridge.session.request(operation.method, url, headers={"x-api-key": key}) as response:
            seen.append(response.status)
            check(await response.json(), schema_of(name, response.status, "application/json"))
    assert seen[:2] == [401, 401 if operation.for_admin else 403]
    assert 429 in seen[2:]


@pytest.mark.parametrize("name", [name for name, operation in BY_NAME.items() if operation.path.startswith("/byoc/")])
async def test_operations_of_boxes_declare_the_error_of_a_wrong_token(bridge: Bridge, name: str) -> None:
    seen = set()
    for number in range(GUESSES):
        url, headers = path_of(bridge, name, "live", ""), {"Authorization": f"Bearer guess-{number}"}
        body = GRANT | {"client_secret": f"guess-{number}"} if name == "issue_box_token" else {}
        async with bridge.session.post(url, json=body, headers=headers) as response:
            seen.add(response.status)
            check(await response.json(), schema_of(name, response.status, "application/json"))
    assert seen == {401, 429}


def test_every_declared_refusal_is_tested() -> None:
    declared = {
        (name, int(status))
        for name, operation in BY_NAME.items()
        for status in DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
        if int(status) >= 400
    }
    everywhere = {(name, status) for name in BY_NAME for status in (500, 503)}
    keys = {(name, status) for name in BY_NAME if BY_NAME[name].needs_key for status in (401, 403, 429)}
    boxes = {(name, status) for name in BY_NAME if BY_NAME[name].path.startswith("/byoc/") for status in (401, 429)}
    # The page for operators is refused to other machines only (test_admin.py).
    remote = {(name, 403) for name in BY_NAME if BY_NAME[name].access is Access.ADMIN_PAGE}
    assert declared == {(name, status) for name, status, _ in REFUSALS} | everywhere | keys | boxes | remote
