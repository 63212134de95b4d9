"""The event stream of calls across a break of the reader, and across a restart or a crash of the bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.programs.redis import RedisServer
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import key, on_redis
from tests.harness.web.event_stream import EventStream

from .site import Site, site

SECONDS = 20.0
ALL = ["call.started", "call.answered", "handoff.started", "handoff.finished", "call.ended"]

Seen = list[tuple[str, Any]]


@pytest.fixture(params=["sqlite", "redis"])
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a bridge with each store."""
    if request.param == "sqlite":
        return {}
    redis: RedisServer = request.getfixturevalue("redis")
    return on_redis(redis.url, "node-1")


def stream(trunk: Site, project: str, after: str = "") -> EventStream:
    return EventStream(f"{trunk.bridge.project('acme', project, key(project)).url}/events", key(project), after)


def until(events: EventStream, name: str) -> Seen:
    """Return the names and contacts of the events up to one of that name."""
    return [(each.name, each.data["contact_id"]) for each in events.until(name, SECONDS)]


def test_a_reader_gets_what_happened_while_it_was_away(
    tmp_path: Path, cxone: Simulator, changes: dict[str, Any]
) -> None:
    with site(tmp_path, cxone, **changes) as trunk:
        with stream(trunk, "release") as events:
            first = trunk.call("release", "release")
            assert until(events, "handoff.started") == [(name, first.contact.id) for name in ALL[:3]]
        first.project.ended_call(first.contact.id)
        second = trunk.call("release", "release")
        second.project.ended_call(second.contact.id)
    with site(tmp_path, cxone, **changes) as trunk, stream(trunk, "release", events.last_id) as events:
        missed = until(events, "call.ended") + until(events, "call.ended")
        third = trunk.call("release", "release")
        then = until(events, "call.ended")
    assert [name for name, contact in missed if contact == first.contact.id] == ALL[3:]
    assert [name for name, contact in missed if contact == second.contact.id] == ALL
    assert then == [(name, third.contact.id) for name in ALL]


def test_a_crash_repeats_no_event_and_the_next_start_sends_the_end(
    tmp_path: Path, cxone: Simulator, changes: dict[str, Any]
) -> None:
    with site(tmp_path, cxone, **changes) as trunk, stream(trunk, "waiting") as events:
        call = trunk.call("release", "waiting")
        assert until(events, "call.answered") == [(name, call.contact.id) for name in ALL[:2]]
        trunk.bridge.program.kill()
    with site(tmp_path, cxone, **changes) as trunk, stream(trunk, "waiting", events.last_id) as events:
        assert until(events, "call.ended") == [(name, call.contact.id) for name in ALL[2:]]


def test_a_reader_of_another_bridge_is_notified_of_the_gap(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        call = trunk.call("release", "release")
        call.project.ended_call(call.contact.id)
        with stream(trunk, "release", "1772366430685-0-3") as events:
            seen = [each.name for each in events.until("call.ended", SECONDS)]
    assert seen == ["stream.gap", *ALL]
