from __future__ import annotations

import pytest
from store.records import make_handoff, make_record

from .conftest import Bridge
from .fakes import KEY, OTHER_KEY, SALES_KEY

PATHS = ["handoff_state?id=call-1", "handoff_state?id=none", "calls", "calls/call-1", "calls/none", "events"]


@pytest.fixture(autouse=True)
async def stored(bridge: Bridge) -> None:
    await bridge.store.put(make_record(handoff=make_handoff()))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("wrong", 401), ("caf\xe9", 401), (SALES_KEY, 403), (OTHER_KEY, 403)]
)
async def test_a_wrong_key_is_401_and_anothers_403_whatever_the_path(
    bridge: Bridge, path: str, key: str | None, status: int
) -> None:
    found, body = await bridge.get(path, key)
    assert found == status
    assert list(body) == ["error_message"]


async def test_neither_says_whether_the_call_exists(bridge: Bridge) -> None:
    for key in ("wrong", SALES_KEY):
        assert await bridge.get("calls/call-1", key) == await bridge.get("calls/none", key)


@pytest.mark.parametrize("project", ["/v1/nobody/billing", "/v1/acme/nothing", "/v1/%00/%FF"])
async def test_an_unknown_project_looks_like_anothers(bridge: Bridge, project: str) -> None:
    for key in ("wrong", OTHER_KEY):
        unknown = await bridge.get(f"{project}/calls", key)
        assert unknown == await bridge.get("/v1/acme/sales/calls", key)


async def test_the_key_of_the_project_lets_in(bridge: Bridge) -> None:
    status, _ = await bridge.get("calls/call-1", KEY)
    assert status == 200


@pytest.mark.parametrize("action", ["handoff", "hangup", "turns"])
async def test_no_call_is_steered_without_the_key(bridge: Bridge, action: str) -> None:
    call = bridge.directory.add(make_record("live"))
    for key, status in (("wrong", 401), (SALES_KEY, 403)):
        assert (await bridge.post(f"calls/live/{action}", key, body=b"{broken"))[0] == status
    assert (call.requests, call.hung_up, call.turns) == ([], False, [])
