from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.errors import DialFailed
from sipbridge.sip.resources import LEGS_PER_CALL, NO_SLOTS, MediaResources
from tests.fakes.pjsip import FakePjsip

CALLERS, AGENTS = 1, 2
NO_PORTS = "no two ports of sip.rtp_ports are free"


@pytest.fixture
def resources(pjsip: FakePjsip, monkeypatch: pytest.MonkeyPatch) -> MediaResources:
    monkeypatch.setattr(file_descriptors, "reserved_from", lambda: 800)
    monkeypatch.setattr(file_descriptors, "limit", lambda: 1000)
    return MediaResources(CALLERS, pjsip)


def test_there_is_no_shortage_if_all_legs_of_another_call_have_slots(
    resources: MediaResources, pjsip: FakePjsip
) -> None:
    pjsip.free_calls = LEGS_PER_CALL
    assert resources.shortage() is None


def test_a_call_needs_slots_for_all_its_legs(resources: MediaResources, pjsip: FakePjsip) -> None:
    pjsip.free_calls = LEGS_PER_CALL - 1
    assert resources.shortage() == NO_SLOTS
    assert pjsip.asked_for_room == []


def test_calls_in_progress_may_use_descriptors_that_new_calls_may_not(
    resources: MediaResources, pjsip: FakePjsip
) -> None:
    resources.shortage()
    resources.require_for_leg(AGENTS)
    assert pjsip.asked_for_room == [(CALLERS, 800), (AGENTS, 900)]


@pytest.mark.parametrize(
    ("room", "shortage"),
    [
        (pj.NoPorts, NO_PORTS),
        (pj.NoDescriptors, "the remaining file descriptors are reserved for calls in progress"),
    ],
)
def test_a_leg_without_resources_fails_with_503(
    resources: MediaResources, pjsip: FakePjsip, room: int, shortage: str
) -> None:
    pjsip.room = room
    assert resources.shortage() == shortage
    with pytest.raises(DialFailed, match=shortage) as raised:
        resources.require_for_leg(AGENTS)
    assert raised.value.sip_status == 503


@pytest.mark.parametrize(("free_calls", "shortage"), [(100, NO_PORTS), (0, NO_SLOTS)])
def test_a_shortage_is_logged_once_in_10_seconds(
    resources: MediaResources, pjsip: FakePjsip, caplog: pytest.LogCaptureFixture, free_calls: int, shortage: str
) -> None:
    pjsip.free_calls, pjsip.room = free_calls, pj.NoPorts
    for _ in range(100):
        resources.shortage()
    assert [(record.getMessage(), getattr(record, "event", "")) for record in caplog.records] == [
        (f"no resources for another leg: {shortage}", "resources_exhausted")
    ]
