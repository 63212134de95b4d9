from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.programs.bridge import running_bridge
from tests.harness.programs.program import ProgramError
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import key, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.waiting import wait_for
from tests.soak.kills import RESTARTED, run_kills

from .site import NUMBERS, Contact, PlacedCall, Site, site

KILLS = 3


def test_no_answered_call_is_lost_or_signalled_twice_whenever_the_process_is_killed(tmp_path: Path) -> None:
    tally = run_kills(tmp_path, KILLS, seed=7)
    assert tally.kills == KILLS
    assert tally.outcomes["signalled by the recovery"] > 0


def _kill_in_conversation(trunk: Site, project: str = "waiting") -> PlacedCall:
    call = trunk.call("release", project)
    call.wait_until_answered()
    trunk.bridge.program.kill()
    return call


def _recovered(trunk: Site) -> None:
    trunk.bridge.program.logged("recovery_ended")


def test_after_a_crash_a_caller_in_conversation_is_signalled_to_the_default_destination(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone) as trunk:
        call = _kill_in_conversation(trunk)
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": RESTARTED}]
        project = trunk.bridge.project("acme", "waiting", "key-of-waiting")
        record = project.ended_call(call.contact.id)
        assert (record["state"], record["reason"], record["ended_by"]) == ("ended", RESTARTED, "bridge")
        assert (record["handoff"]["state"], record["handoff"]["destination"]) == ("handoff_completed", "care")
        data = project.handoff_state(call.contact.id).json()["data"]
        assert (data["handoff_state"], data["handoff_reason"]) == ("handoff_completed", RESTARTED)
        assert data["confirmed"] is False
        trunk.bridge.wait_for_metric(1, "sipbridge_calls_recovered_total", client="acme", reason="accepted")
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        assert len(call.signals()) == 1, "a start after an orderly stop has nothing to recover"


@contextmanager
def _raw_call(trunk: Site, project: str, contact: Contact) -> Iterator[RawCall]:
    """A call that was answered."""
    headers = (
        f"From: <sip:c@127.0.0.1>;tag=1\r\nX-Auth-Token: {token(project)}\r\nX-InContact-ContactId: {contact.id}\r\n"
    )
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), headers.encode()) as call:
        assert call.place().status == 200
        yield call


def test_a_kill_right_after_the_response_to_the_callers_bye_signals_no_contact(
    tmp_path: Path, cxone: Simulator
) -> None:
    contact = Contact.new()
    with site(tmp_path, cxone) as trunk, _raw_call(trunk, "waiting", contact) as call:
        call.end()
        trunk.bridge.program.kill()
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        record = trunk.bridge.project("acme", "waiting", "key-of-waiting").ended_call(contact.id)
        assert (record["ended_by"], record["reason"], record["handoff"]) == ("caller", "caller_hung_up", None)
        assert cxone.signals(contact.id) == []


def test_a_kill_right_after_our_bye_signals_no_contact(tmp_path: Path, cxone: Simulator) -> None:
    contact = Contact.new()
    project = "ending-unsignalled"
    with site(tmp_path, cxone) as trunk, _raw_call(trunk, project, contact) as call:
        call.next_request(b"BYE")
        trunk.bridge.program.kill()
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        record = trunk.bridge.project("acme", project, key(project)).ended_call(contact.id)
        assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", RESTARTED, None)
        assert cxone.signals(contact.id) == []
        # The second entry of the journal follows the BYE within a moment.
        reason = {"success": "hung_up_before", "indeterminate": "bye_unknown"}[record["result"]]
        trunk.bridge.wait_for_metric(1, "sipbridge_calls_recovered_total", client="acme", reason=reason)


def test_a_kill_right_before_our_bye_signals_no_contact_and_is_indeterminate(tmp_path: Path, cxone: Simulator) -> None:
    contact, project = Contact.new(), "waiting"
    journal = tmp_path / "calls.db.journal"
    with site(tmp_path, cxone) as trunk, _raw_call(trunk, project, contact):
        trunk.bridge.program.kill()
    # The moment is too short for a kill at the right time.
    began, *_ = map(json.loads, journal.read_text().splitlines())
    entry = {"what": "hanging_up", "call": began["call"], "by": "agent", "at": began["record"]["started_at"]}
    with journal.open("a") as file:
        file.write(f"{json.dumps(entry)}\n")
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        record = trunk.bridge.project("acme", project, key(project)).ended_call(contact.id)
        assert (record["ended_by"], record["result"], record["reason"]) == ("agent", "indeterminate", RESTARTED)
        assert cxone.signals(contact.id) == []
        trunk.bridge.wait_for_metric(1, "sipbridge_calls_recovered_total", client="acme", reason="bye_unknown")


def test_a_contact_older_than_max_call_seconds_is_only_marked_as_lost(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        # Its calls last a second at most; the next start comes later.
        call = _kill_in_conversation(trunk, "short")
    wait_for(lambda: _age(tmp_path) > 1, "the call to be too old")
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        record = trunk.bridge.project("acme", "short", "key-of-short").ended_call(call.contact.id)
        assert (record["reason"], record["handoff"]) == (RESTARTED, None)
        assert call.signals() == []


def _age(folder: Path) -> float:
    return time.time() - (folder / "calls.db.journal").stat().st_mtime


def test_the_data_of_an_agents_handoff_survives_a_crash(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        call = trunk.call("release", "waiting")
        path = f"calls/{call.wait_until_answered()}/handoff"
        cxone.fail("signal", latency_seconds=30, contact_id=call.contact.id)
        assert call.project.request(path, "POST", {"data": {"ticket": "T-1"}, "utterance": "Bye."}).status == 202
        # CXone records the Signal when it arrives; the bridge dies while it waits for the response.
        cxone.signals(call.contact.id, wait_for=1)
        trunk.bridge.program.kill()
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        assert len(call.signals()) == 1, "the first one may have arrived, so there is no second"
        data = trunk.bridge.project("acme", "waiting", "key-of-waiting").handoff_state(call.contact.id).json()["data"]
        assert (data["ticket"], data["utterance"], data["handoff_state"]) == ("T-1", "Bye.", "handoff_failed")


def test_what_the_bridge_knew_of_a_call_survives_a_crash_before_the_signal(tmp_path: Path, cxone: Simulator) -> None:
    journal = tmp_path / "calls.db.journal"
    turns = [{"role": "agent", "text": "Hello"}, {"role": "caller", "text": "My lamp is broken"}]
    with site(tmp_path, cxone) as trunk:
        call = trunk.call("release", "lasting")
        path = f"calls/{call.wait_until_answered()}"
        assert call.project.request(f"{path}/turns", "POST", {"turns": turns}).status == 202
        # The recording lasts much longer than a handoff waits for it.
        assert call.project.request(f"{path}/handoff", "POST", {"data": {"ticket": "T-1"}}).status == 202
        wait_for(lambda: b'"handing_off"' in journal.read_bytes(), "the handoff in the journal")
        (before,) = call.project.calls(call.contact.id)
        trunk.bridge.program.kill()
    with site(tmp_path, cxone) as trunk:
        _recovered(trunk)
        record = trunk.bridge.project("acme", "lasting", key("lasting")).ended_call(call.contact.id)
        assert record["answered_at"] == before["answered_at"]
        assert [(turn["role"], turn["text"]) for turn in record["transcript"]] == [
            (turn["role"], turn["text"]) for turn in turns
        ]
        assert record["handoff"]["data"] == {"ticket": "T-1"}
        assert len(call.signals()) == 1


def test_a_second_bridge_on_the_same_journal_does_not_start(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone), pytest.raises(ProgramError, match="is in use by another sipbridge"):
        start_second(tmp_path)


def start_second(folder: Path) -> None:
    with running_bridge(folder / "bridge.yaml", folder / "second.log", {}):
        pass
