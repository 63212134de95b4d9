from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from itertools import dropwhile
from pathlib import Path

from tests.harness.programs.simulator import Simulator
from tests.harness.sip.raw_call import RawCall
from tests.harness.sip.raw_sender import Pinger
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .site import Site, site

BURST = 40


def test_a_drain_rejects_new_calls_and_hands_off_those_in_progress(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=2) as trunk:
        call = trunk.call("release", "waiting")
        call_id = call.wait_until_answered()
        trunk.bridge.program.terminate()
        trunk.bridge.wait_for_metric(1, "sipbridge_draining")
        count = trunk.count()
        assert fetch(f"{trunk.bridge.http}/readyz").status == 503
        with Pinger(trunk.bridge.sip) as pinger:
            assert pinger.response() == (503, "30")
        assert fetch(f"{trunk.bridge.http}/healthz").status == 200
        late = trunk.call("draining").wait_for_scenario()
        assert int(late.sipp.received(503)[0].header("Retry-After")) > 0
        assert count.grows_by(1, "sipbridge_invites_total", code="503")
        call.wait_for_scenario()
        assert [sent["p3"] for sent in call.signals()] == ["draining"]
        assert late.signals() == []
        assert trunk.bridge.program.wait(15) == 0
        lines = [json.loads(line) for line in trunk.bridge.program.log.read_text().splitlines()]
        (draining,) = [line for line in lines if line.get("event") == "drain_changed"]
        assert (draining["calls"], draining["wait_seconds"]) == (1, 2)
        assert lines[-1]["message"] == "stopped"
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
        call.wait_for_scenario()
        desk.check()
    with site(tmp_path, cxone) as trunk:
        (record,) = trunk.bridge.project("acme", "desk", "key-of-desk").calls(call.contact.id)
        assert (record["result"], record["reason"]) == ("success", "handed_off")


def test_a_second_signal_ends_the_calls_at_once_with_bye(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=60) as trunk:
        call = trunk.call("release", "waiting")
        call_id = call.wait_until_answered()
        trunk.bridge.program.terminate()
        trunk.bridge.wait_for_metric(1, "sipbridge_draining")
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(10) == 0
        assert '"second stop signal: ending 1 call"' in trunk.bridge.program.log.read_text()
        call.wait_for_scenario()
        assert call.signals() == []
    with site(tmp_path, cxone) as trunk:
        record = trunk.bridge.project("acme", "waiting", "key-of-waiting").call(call_id)
        assert record is not None
        assert (record["state"], record["reason"], record["ended_by"]) == ("ended", "shut_down", "bridge")


def test_calls_that_arrive_at_the_moment_of_the_signal_are_served_like_any_other(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone) as trunk:
        bridge = trunk.bridge.program
        # The suspended process finds them and the signal together: it drains while they pass the gate.
        os.kill(bridge.pid, signal.SIGSTOP)
        calls = trunk.call(trunk.with_own_contacts("release"), "waiting", calls=BURST)
        wait_for(lambda: len([m for m in calls.sipp.messages if m.sent]) >= BURST, "the INVITEs to be sent")
        bridge.terminate()
        os.kill(bridge.pid, signal.SIGCONT)
        assert bridge.wait(20) == 0
        answered = {m.header("Call-ID") for m in calls.sipp.received(200) if "INVITE" in m.header("CSeq")}
        signalled = {signal["contact_id"] for signal in cxone.all_signals()} & set(calls.contact.ids_of_calls(BURST))
        assert len(signalled) == len(answered)


def test_a_call_during_the_shutdown_gets_503(tmp_path: Path, cxone: Simulator) -> None:
    statuses = []
    with site(tmp_path, cxone) as trunk, suppress(ConnectionRefusedError):
        trunk.bridge.program.terminate()
        while trunk.bridge.program.is_running:
            with RawCall(trunk.bridge.sip, b"+19995550100", b"From: <sip:caller@127.0.0.1>;tag=1\r\n") as call:
                statuses.append(call.place().status)
    draining = list(
        dropwhile(lambda status: status != 503, statuses[:-1])
    )  # the last one may reach no process any more
    assert len(draining) > BURST
    assert set(draining) == {503}


def test_a_signal_does_not_cut_short_a_drain_that_the_api_began(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=2, http={"admin": {"keys": ["key-of-the-operator"]}}) as trunk:
        call = trunk.call("release", "waiting")
        call.wait_until_answered()
        headers = {"x-api-key": "key-of-the-operator"}
        assert fetch(f"{trunk.bridge.admin}/v1/admin/drain", "POST", headers=headers).status == 202
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(15) == 0
        call.wait_for_scenario()
        assert [sent["p3"] for sent in call.signals()] == ["draining"]


def test_a_bridge_without_calls_stops_at_once(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, drain_seconds=60) as trunk:
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(10) == 0
