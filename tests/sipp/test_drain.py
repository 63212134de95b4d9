from __future__ import annotations

from pathlib import Path

from harness.http import fetch
from harness.simulator import Simulator

from .site import Site, site


def test_a_drain_takes_no_more_calls_and_hands_off_those_in_progress(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=2) as trunk:
        call = trunk.call("release", "waiting")
        call_id = call.answered()
        trunk.bridge.program.terminate()
        trunk.bridge.wait_for_metric(1, "sipbridge_draining")
        count = trunk.count()
        assert fetch(f"{trunk.bridge.http}/readyz").status == 503
        assert fetch(f"{trunk.bridge.http}/healthz").status == 200
        late = trunk.call("draining").went_as_written()
        assert int(late.sipp.received(503)[0].header("Retry-After")) > 0
        assert count.shows(1, "sipbridge_invites_total", code="503")
        call.went_as_written()
        assert [signal["p3"] for signal in call.signals()] == ["draining"]
        assert late.signals() == []
        assert trunk.bridge.program.wait(15) == 0
    assert _record_after_restart(tmp_path, cxone, call_id) == ("handoff_completed", "draining", "bridge")


def _record_after_restart(folder: Path, cxone: Simulator, call_id: str) -> tuple[str, str, str]:
    with site(folder, cxone) as trunk:
        record = _waiting(trunk, call_id)
        return record["state"], record["reason"], record["requested_by"]


def _waiting(trunk: Site, call_id: str) -> dict[str, str]:
    record = trunk.bridge.project("acme", "waiting", "key-of-waiting").call(call_id)
    assert record is not None
    handoff: dict[str, str] = record["handoff"]
    return handoff


def test_a_drain_ends_a_call_that_is_joined_to_a_desk(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=0.5) as trunk, trunk.desk("desk_answers_and_stays") as desk:
        call = trunk.call("release", "desk")
        trunk.bridge.wait_for_metric(1, "sipbridge_handoffs_total", project="desk", result="success")
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(10) == 0
        call.went_as_written()
        desk.check()
    with site(tmp_path, cxone) as trunk:
        (record,) = trunk.bridge.project("acme", "desk", "key-of-desk").calls(call.contact.id)
        assert (record["result"], record["reason"]) == ("success", "handed_off")


def test_a_second_signal_ends_at_once_with_bye(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=60) as trunk:
        call = trunk.call("release", "waiting")
        call_id = call.answered()
        trunk.bridge.program.terminate()
        trunk.bridge.wait_for_metric(1, "sipbridge_draining")
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(10) == 0
        call.went_as_written()
        assert call.signals() == []
    with site(tmp_path, cxone) as trunk:
        record = trunk.bridge.project("acme", "waiting", "key-of-waiting").call(call_id)
        assert record is not None
        assert (record["state"], record["reason"], record["ended_by"]) == ("ended", "shut_down", "bridge")


def test_a_bridge_with_no_calls_stops_at_once(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=60) as trunk:
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(10) == 0
