"""The page for operators, and what the API says to it."""

from __future__ import annotations

from typing import Any

import pytest

from sipbridge.calls.events import TokenRequested
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.web.api import admin_activity
from tests.harness.loop_turns import LoopTurns
from tests.store.records import make_handoff, make_record
from tests.web.api.test_admin import served
from tests.web.conftest import Bridge
from tests.web.fakes import ADMIN_KEY, make_config
from tests.web.operators import samples
from tests.web.screen_pop.test_pace import noting
from tests.web.screen_pop.test_page import Tags


async def fetch(bridge: Bridge, path: str = "/v1/admin/") -> tuple[int, dict[str, str], str]:
    async with bridge.session.get(bridge.base + path) as response:
        return response.status, dict(response.headers), await response.text()


def files_of(page: str) -> list[str]:
    return [value for _, attributes in Tags(page).tags for name in ("href", "src") if (value := attributes.get(name))]


async def test_the_page_needs_no_key_has_no_data_and_is_never_framed_or_cached(bridge: Bridge) -> None:
    await samples.fill(bridge)
    status, headers, page = await fetch(bridge)
    assert status == 200
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "Set-Cookie" not in headers
    assert "acme" not in page


async def test_the_page_and_its_files_are_small_and_only_the_files_are_cached(bridge: Bridge) -> None:
    _, _, page = await fetch(bridge)
    size = len(page.encode())
    assert len(files_of(page)) == 3
    for file in files_of(page):
        status, headers, content = await fetch(bridge, f"/v1/admin/{file}")
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        size += len(content.encode())
    assert size < 20_000
    status, headers, _ = await fetch(bridge, "/v1/admin/asset-page-000000000000.css")
    assert (status, headers["Cache-Control"]) == (404, "no-store")


async def test_the_links_of_the_page_are_right_with_and_without_a_slash_and_behind_any_prefix(bridge: Bridge) -> None:
    for path, base in (("/v1/admin/", ""), ("/v1/admin", "admin/")):
        _, _, page = await fetch(bridge, path)
        assert ("body", {"data-base": base}) in Tags(page).tags
        assert all(file.startswith(f"{base}asset-") for file in files_of(page))


async def test_the_page_is_where_the_operations_for_admin_are(bridge: Bridge) -> None:
    bridge.config = make_config(admin={})
    async with served(bridge):
        assert (await fetch(bridge))[0] == 404
    bridge.config = make_config(admin={"keys": [ADMIN_KEY], "listen": "127.0.0.1:1"})
    async with served(bridge):
        assert (await fetch(bridge))[0] == 404
    async with served(bridge, admin=True):
        assert (await fetch(bridge))[0] == 200


async def test_a_client_called_admin_keeps_its_own_paths(bridge: Bridge) -> None:
    clients = bridge.config.clients | {"admin": bridge.config.clients["acme"]}
    bridge.config = bridge.config.model_copy(update={"clients": clients})
    assert (await bridge.get("/v1/admin/billing/calls"))[0] == 200


async def activity(bridge: Bridge) -> Any:  # noqa: ANN401 (JSON)
    status, found = await bridge.get("/v1/admin/activity", ADMIN_KEY)
    assert status == 200
    return found


async def test_the_activity_has_calls_chats_ends_outcomes_and_health(bridge: Bridge) -> None:
    await samples.fill(bridge)
    found = await activity(bridge)
    ids = [call["id"].removeprefix("call-") for call in found["calls"]]
    assert ids == ["3000", "3001", "3002", "3100", "3003", "3004"]
    handing_off = found["calls"][3]
    assert (handing_off["state"], handing_off["destination"], handing_off["reason"]) == (
        "handing_off",
        "care",
        "refund_requested",
    )
    assert [(chat["id"], chat["state"]) for chat in found["chats"]] == [
        ("conversation-18", "queued"),
        ("conversation-17", "queued"),
    ]
    newest = found["ended"][0]
    assert (newest["id"], newest["result"], newest["reason"]) == ("call-2002", "upstream_error", "agent_lost")
    assert [(each["kind"], each["project"], each["reason"], each["count"]) for each in found["outcomes"]][:3] == [
        ("handoff", "billing", "handed_off", 37),
        ("call", "billing", "handed_off", 37),
        ("call", "sales", "agent_lost", 3),
    ]
    health = {(each["kind"], each["project"]): each for each in found["health"]}
    agent = health["agent", "sales"]
    assert found["health"][0] == agent, "what failed comes first"
    assert (agent["result"], agent["reason"], agent["uses"], agent["successes"]) == (
        "upstream_error",
        "no_answer",
        6,
        3,
    )
    assert (health["signal", ""]["successes"], health["token", ""]["successes"]) == (37, 2)


async def test_the_activity_says_which_callers_went_back_to_their_agents(bridge: Bridge) -> None:
    returned = make_handoff(state=HandoffState.FAILED, taken_back=True)
    for record in (samples.call("call-1", 2), samples.call("call-2", 1, handoff=returned)):
        bridge.directory.add(record)
    assert {call["id"]: call["taken_back"] for call in (await activity(bridge))["calls"]} == {
        "call-1": False,
        "call-2": True,
    }


async def test_of_many_parts_those_that_failed_are_shown(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_activity, "MAX_SHOWN", 2)
    outcomes = {"acme": Result.SUCCESS, "bank": Result.UPSTREAM_ERROR, "city": Result.SUCCESS}
    for client, result in outcomes.items():
        for each in (Result.SUCCESS, result):
            bridge.last_hour(TokenRequested(client, each, 0.2))
    health = (await activity(bridge))["health"]
    assert [(each["client"], each["uses"], each["successes"]) for each in health] == [("bank", 2, 1), ("acme", 2, 2)]


async def test_the_activity_is_made_in_several_turns_of_the_loop(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await samples.fill(bridge)
    noted: list[int] = []
    with LoopTurns() as turns:
        for part in ("_ends", "_health", "json_response"):
            monkeypatch.setattr(admin_activity, part, noting(getattr(admin_activity, part), turns, noted))
        await activity(bridge)
    assert len(set(noted)) == 3


async def test_the_activity_has_no_phone_number_and_nothing_that_was_said(bridge: Bridge) -> None:
    said = {"transcript": [{"role": "caller", "text": "SECRET"}], "caller": "SECRET", "dialled": "SECRET"}
    handoff = make_handoff(data={"SECRET": "SECRET"}, utterance="SECRET", parameters={"p1": "SECRET"})
    record = make_record("live", **said, handoff=handoff)
    bridge.directory.add(samples.start(bridge.last_hour, record))
    samples.hand_off(bridge.last_hour, samples.start(bridge.last_hour, make_record("ended", **said)))
    assert "SECRET" not in str(await activity(bridge))
    for call_id in ("live", "ended"):
        status, timeline = await bridge.get(f"/v1/admin/timeline?id={call_id}", ADMIN_KEY)
        assert status == 200
        assert "SECRET" not in str(timeline)


async def test_the_activity_shows_the_newest_of_many_calls(bridge: Bridge) -> None:
    for number in range(admin_activity.MAX_SHOWN + 5):
        bridge.directory.add(samples.call(f"call-{number:04}", number))
    found = await activity(bridge)
    assert [call["id"] for call in found["calls"]] == [
        f"call-{number:04}" for number in range(admin_activity.MAX_SHOWN)
    ]


async def test_a_timeline_shows_the_steps_of_a_call(bridge: Bridge) -> None:
    samples.hand_off(bridge.last_hour, samples.start(bridge.last_hour, make_record()))
    status, timeline = await bridge.get("/v1/admin/timeline?id=call-1", ADMIN_KEY)
    assert (status, timeline["state"]) == (200, "ended")
    steps = [step["step"] for step in timeline["steps"]]
    assert steps[:4] == ["call_started", "agent_connection", "call_answered", "conversation"]
    assert steps[-2:] == ["handoff_finished", "call_ended"]
    assert (await bridge.get("/v1/admin/timeline?id=other", ADMIN_KEY))[0] == 404
