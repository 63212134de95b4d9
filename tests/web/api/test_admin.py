from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest
from aiohttp.test_utils import make_mocked_request

from sipbridge import __version__
from sipbridge.chats.registry import ChatRegistry
from sipbridge.web import NodeReport, make_admin_app, make_app, start_web
from sipbridge.web.server.auth import Access, Authenticator
from sipbridge.web.server.errors import AdminNotLocal
from sipbridge.web.server.guesses import Guesses
from sipbridge.web.server.slots import Slots
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, KEY, FakeDirectory, FakeNodes, make_config

OPERATIONS = [
    ("POST", "drain"),
    ("POST", "reload"),
    ("GET", "status"),
    ("GET", "activity"),
    ("GET", "timeline"),
]


@asynccontextmanager
async def served(bridge: Bridge, *, admin: bool = False) -> AsyncIterator[str]:
    """Serve the current configuration on the API's listener or on the admin listener."""
    listener, (host, port) = await start_web((make_admin_app if admin else make_app)(bridge.deps()), "127.0.0.1", 0)
    before, bridge.base = bridge.base, f"http://{host}:{port}"
    try:
        yield bridge.base
    finally:
        bridge.base = before
        await listener.cleanup()


async def test_a_drain_starts_and_may_be_requested_again(bridge: Bridge) -> None:
    for _ in range(2):
        assert await bridge.post("/v1/admin/drain", ADMIN_KEY) == (202, {"state": "draining", "calls": 2})
        assert bridge.admin_controls.draining


async def test_a_reload_reports_its_result(bridge: Bridge) -> None:
    expected = {"reloaded": True, "restart_required": ["sip.max_calls"], "warnings": ["sip.srtp: keys travel"]}
    assert await bridge.post("/v1/admin/reload", ADMIN_KEY) == (200, expected)
    assert bridge.admin_controls.reloads == 1


async def test_a_reload_of_an_invalid_file_lists_all_its_errors(bridge: Bridge) -> None:
    bridge.admin_controls.problems = [
        "bridge.yaml: clients.acme: is wrong; mend it",
        "bridge.yaml: sip: is missing; give it",
    ]
    status, body = await bridge.post("/v1/admin/reload", ADMIN_KEY)
    assert (status, body["error_message"].splitlines()) == (422, bridge.admin_controls.problems)


async def test_the_status_has_version_calls_chats_and_what_is_taken(bridge: Bridge) -> None:
    expected = {"version": __version__, "draining": False, "calls": 2, "chats": 3, "since": "2026-03-01T12:00:00Z"}
    expected |= {"max_calls": bridge.config.sip.max_calls, "obstacle": None, "nodes": []}
    assert await bridge.get("/v1/admin/status", ADMIN_KEY) == (200, expected)
    bridge.obstacle = "all slots are in use"
    assert (await bridge.get("/v1/admin/status", ADMIN_KEY))[1]["obstacle"] == "all slots are in use"


async def test_the_status_lists_the_nodes_of_a_shared_store(bridge: Bridge) -> None:
    nodes = (
        NodeReport("node-a", "http://10.0.0.5:8080", "alive", is_this=True, calls=2, max_calls=500),
        NodeReport("node-b", "http://10.0.0.6:8080", "lost", is_this=False, calls=None, max_calls=None),
    )
    bridge.nodes = FakeNodes(*nodes)
    async with served(bridge):
        _, status = await bridge.get("/v1/admin/status", ADMIN_KEY)
    assert status["nodes"] == [node._asdict() for node in nodes]


@pytest.mark.parametrize(("method", "name"), OPERATIONS)
async def test_admin_needs_an_admin_key(bridge: Bridge, method: str, name: str) -> None:
    for key in (None, "wrong", KEY):
        status, _ = await bridge.request(method, f"/v1/admin/{name}", key, None)
        assert status == 401
    assert (bridge.admin_controls.draining, bridge.admin_controls.reloads) == (False, 0)


async def test_an_admin_key_is_not_valid_for_a_project(bridge: Bridge) -> None:
    assert (await bridge.get("calls", ADMIN_KEY))[0] == 401


async def test_admin_is_404_without_admin_keys(bridge: Bridge) -> None:
    bridge.config = make_config(admin={})
    async with served(bridge):
        for method, name in OPERATIONS:
            assert await bridge.request(method, f"/v1/admin/{name}", ADMIN_KEY, None) == (
                404,
                {"error_message": "no such path", "code": "not_found"},
            )
        assert not [path for path in (await bridge.get("/openapi.json"))[1]["paths"] if "admin" in path]


async def test_an_admin_listener_serves_admin_and_the_api_does_not(bridge: Bridge) -> None:
    bridge.config = make_config(admin={"keys": [ADMIN_KEY], "listen": "127.0.0.1:1"})
    async with served(bridge):
        assert (await bridge.get("/v1/admin/status", ADMIN_KEY))[0] == 404
    async with served(bridge, admin=True):
        assert (await bridge.get("/v1/admin/status", ADMIN_KEY))[0] == 200
        assert (await bridge.get("calls", KEY))[0] == 404
        _, document = await bridge.get("/openapi.json")
    assert document["servers"] == [{"url": "http://127.0.0.1:1"}]
    paths = {f"/v1/admin/{name}" for _, name in OPERATIONS} | {"/v1/admin", "/v1/admin/asset-{name}"}
    assert set(document["paths"]) == paths | {"/openapi.json"}


async def test_a_client_called_admin_has_its_own_paths(bridge: Bridge) -> None:
    clients = bridge.config.clients | {"admin": bridge.config.clients["acme"]}
    bridge.config = bridge.config.model_copy(update={"clients": clients})
    assert (await bridge.get("/v1/admin/billing/calls", KEY))[0] == 200
    assert (await bridge.get("/v1/admin/status", KEY))[0] == 401


@pytest.mark.parametrize(
    ("remote", "from_anywhere", "allowed"),
    [
        ("127.0.0.1", False, True),
        ("127.9.9.9", False, True),
        ("::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("192.0.2.1", False, False),
        ("::ffff:192.0.2.1", False, False),
        ("2001:db8::1", False, False),
        ("", False, False),
        ("192.0.2.1", True, True),
    ],
)
def test_the_api_accepts_admin_requests_from_this_machine_only(remote: str, from_anywhere: bool, allowed: bool) -> None:  # noqa: FBT001 (a table of cases)
    config = make_config()
    authenticator = Authenticator(
        lambda: config,
        FakeDirectory(),
        ChatRegistry(),
        lambda *_: None,
        Guesses(time.monotonic),
        Slots(),
        admin_from_anywhere=from_anywhere,
    )
    headers = {"x-api-key": ADMIN_KEY, "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    request = make_mocked_request("GET", "/", headers).clone(remote=remote)
    for access in (Access.ADMIN, Access.ADMIN_PAGE):
        with nullcontext() if allowed else pytest.raises(AdminNotLocal):
            authenticator.admit(access, request)


async def test_a_page_of_another_origin_cannot_call_admin(bridge: Bridge) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with bridge.session.options(f"{bridge.base}/v1/admin/drain", headers=headers) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
