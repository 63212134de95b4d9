"""Calls that are about to hand off when their bridge is killed, and the check of what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import Bridge, Project
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token

NUMBER = "+19995550001"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080"}
# The scenarios of the calls, by project. About half of the second one's calls are in a handoff at any moment.
SCENARIOS = {"release": "release_many", "refer": "load_handoff", "ending": "release_many"}
CALLS, CALLS_PER_SECOND = 51, 102
SPEECH_SECONDS = 1
SIGNAL_SECONDS = 0.15


class KillError(AssertionError):
    """A call that was lost, signalled twice or left open."""


def place_calls(bridge: Bridge, project: str, folder: Path, prefix: str) -> Sipp:
    """Place the calls of a project, with contacts of this prefix."""
    keys = {"token": token(project), "contact_id": f"{prefix}-{project}"}
    share = len(SCENARIOS)
    options = ["-m", str(CALLS // share), "-r", str(CALLS_PER_SECOND // share), "-l", str(CALLS), "-trace_msg"]
    return Sipp(SCENARIOS[project], folder, remote=bridge.sip, number=NUMBER, keys=keys, options=options)


def answered_contacts(sipp: Sipp) -> list[str]:
    """The contacts of the calls whose 200 arrived."""
    messages = sipp.messages
    contact_of = {
        m.header("Call-ID"): m.header("X-InContact-ContactId") for m in messages if m.sent and m.method == "INVITE"
    }
    answered = {m.header("Call-ID") for m in messages if not m.sent and m.status == 200 and m.method == "INVITE"}
    return [contact_of[call_id] for call_id in answered]


def records_of(project: Project, prefix: str) -> dict[str, dict[str, Any]]:
    """The project's records of this round, in full, by contact."""
    listed = project.request("calls?limit=200").json()["calls"]
    mine = [call for call in listed if call["contact_id"].startswith(f"{prefix}-")]
    records = {call["contact_id"]: project.call(call["id"]) or {} for call in mine}
    if len(records) != len(mine):
        raise KillError(f"{len(mine)} records of {len(records)} contacts")
    return records


def check_calls(bridge: Bridge, cxone: Simulator, calls: Mapping[str, Sipp], prefix: str, reason: str) -> Counter[str]:
    """Check all calls of a round, by project; return how the recovery found those that were answered.

    `reason` is that of the recovery: `bridge_restarted` or `node_lost`. Raises `KillError`.
    """
    signals = Counter(each["contact_id"] for each in cxone.all_signals())
    outcomes: Counter[str] = Counter()
    for project, sipp in calls.items():
        records = records_of(bridge.project("acme", project, key(project)), prefix)
        outcomes.update(_check_call(contact, records, signals[contact], reason) for contact in answered_contacts(sipp))
        for contact, record in records.items():
            _check_record(contact, record, signals[contact])
    return outcomes


def _check_call(contact: str, records: dict[str, dict[str, Any]], signals: int, reason: str) -> str:
    """Return how the recovery found an answered call. Raises `KillError` if the call was lost."""
    record = records.get(contact)
    if record is None:
        raise KillError(f"{contact} was answered and has no record")
    handoff = record["handoff"] or {}
    if signals == 0 and record["result"] != "indeterminate":
        raise KillError(f"{contact} was answered and never signalled: {record}")
    if record["reason"] != reason:
        return "over before"
    if handoff.get("reason") == reason:
        return "signalled by the recovery"
    return "signalled before" if signals else "Signal begun, not seen"


def _check_record(contact: str, record: dict[str, Any], signals: int) -> None:
    """Check that a call has ended, and that its contact was signalled once at most. Raises `KillError`."""
    state = (record["handoff"] or {}).get("state")
    if record["state"] != "ended" or state == "handoff_initiated":
        raise KillError(f"{contact} has no final state: {record}")
    if signals > 1:
        raise KillError(f"{contact} was signalled {signals} times: {record}")


def settings_of_killed(folder: Path, cxone: Simulator) -> Settings:
    """Return the settings of a bridge whose calls hand off after a second."""
    clip = folder / "clip.wav"
    write_silence(clip, SPEECH_SECONDS)
    agent = {"type": "prompt", "audio": str(clip)}
    projects: dict[str, Settings] = {
        "release": project_settings("release", agent=agent),
        "refer": project_settings("refer", REFER, agent=agent),
        "ending": project_settings("ending", agent={**agent, "then": "hangup"}),
    }
    return bridge_settings(folder, {"acme": client_settings(NUMBER, cxone.url, projects)})
