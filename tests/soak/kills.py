"""`make kills`: kill the bridge during calls, again and again, and check how the next start recovers them.

Each round places calls that are about to hand off, with a slow CXone, kills the process (SIGKILL) at a random moment,
starts it again on the same files and compares: the calls that SIPp saw answered, the records of the bridge, the Signals
that CXone received.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import Bridge, Project, running_bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for

NUMBER = "+19995550001"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080"}
# The scenarios of the calls, by project. About half of the second one's calls are in a handoff at any moment.
SCENARIOS = {"release": "release_many", "refer": "load_handoff", "ending": "release_many"}
CALLS, CALLS_PER_SECOND = 51, 102
SPEECH_SECONDS = 1
SIGNAL_SECONDS = 0.15
LATEST_KILL_SECONDS = 2.5
RESTARTED = "bridge_restarted"


class KillError(AssertionError):
    """A call that was lost, signalled twice or left open."""


@dataclass
class Tally:
    """The results of all rounds. `outcomes` counts the answered calls by how the next start found them."""

    kills: int = 0
    answered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        return f"{self.kills} kills survived, {self.answered} answered calls: {parts}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the bridge this many times; exit with 1 at the first call that was not recovered correctly."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sipbridge-kills-") as name:
        tally = run_kills(Path(name), options.kills, options.seed, report=sys.stdout.write)
    sys.stdout.write(f"{tally}\n")
    return 0


def run_kills(folder: Path, kills: int, seed: int, report: Any = None) -> Tally:  # noqa: ANN401 (takes a line)
    """Run this many rounds. Raises `KillError`."""
    tally = Tally()
    chance = random.Random(seed)  # noqa: S311 (no secret)
    with simulator(folder) as cxone:
        cxone.fail("signal", latency_seconds=SIGNAL_SECONDS, times=None)
        config = _write_config(folder, cxone)
        with KilledBridge(folder, config) as target:
            for number in range(kills):
                target.start()
                _one_round(target, cxone, folder, f"{seed}k{number}", chance, tally)
                if report and (number + 1) % 10 == 0:
                    report(f"{tally}\n")
    return tally


class KilledBridge:
    """A bridge that is started on the same files each time."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder
        self._config = config
        self._starts = 0
        self._running = ExitStack()
        self.bridge: Bridge

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self._starts or not self.bridge.program.is_running:
            self._starts += 1
            log = self._folder / f"bridge-{self._starts}.log"
            self.bridge = self._running.enter_context(
                running_bridge(self._config, log, {"SIPBRIDGE_LOG_LEVEL": "DEBUG"})
            )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.bridge.program.kill()
        self._running.close()

    def has_recovered(self) -> bool:
        """True if it has finished the recovery of its start."""
        return "recovery_ended" in self.bridge.program.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


def _one_round(
    target: KilledBridge, cxone: Simulator, folder: Path, prefix: str, chance: random.Random, tally: Tally
) -> None:
    began = time.monotonic()
    calls = {project: _place_calls(target.bridge, project, folder, prefix) for project in SCENARIOS}
    try:
        # The moment itself is the test: there is no event to wait for.
        time.sleep(chance.uniform(0.1, LATEST_KILL_SECONDS) - (time.monotonic() - began))
        target.kill()
    finally:
        for sipp in calls.values():
            sipp.program.kill()
    target.start()
    wait_for(target.has_recovered, "the recovery to end", 60)
    tally.kills += 1
    taken = Counter(signal["contact_id"] for signal in cxone.all_signals())
    for project, sipp in calls.items():
        records = _records(target.bridge.project("acme", project, key(project)), prefix)
        for contact in _answered_contacts(sipp):
            tally.answered += 1
            tally.outcomes[_check_call(contact, records, taken[contact])] += 1
        for contact, record in records.items():
            _check_record(contact, record, taken[contact])


def _place_calls(bridge: Bridge, project: str, folder: Path, prefix: str) -> Sipp:
    keys = {"token": token(project), "contact_id": f"{prefix}-{project}"}
    share = len(SCENARIOS)
    options = ["-m", str(CALLS // share), "-r", str(CALLS_PER_SECOND // share), "-l", str(CALLS), "-trace_msg"]
    return Sipp(SCENARIOS[project], folder, remote=bridge.sip, number=NUMBER, keys=keys, options=options)


def _answered_contacts(sipp: Sipp) -> list[str]:
    """The contacts of the calls whose 200 arrived."""
    messages = sipp.messages
    contact_of = {
        m.header("Call-ID"): m.header("X-InContact-ContactId") for m in messages if m.sent and m.method == "INVITE"
    }
    answered = {m.header("Call-ID") for m in messages if not m.sent and m.status == 200 and m.method == "INVITE"}
    return [contact_of[call_id] for call_id in answered]


def _records(project: Project, prefix: str) -> dict[str, dict[str, Any]]:
    """The project's records of this round, in full, by contact."""
    listed = project.request("calls?limit=200").json()["calls"]
    mine = [call for call in listed if call["contact_id"].startswith(f"{prefix}-")]
    records = {call["contact_id"]: project.call(call["id"]) or {} for call in mine}
    if len(records) != len(mine):
        raise KillError(f"{len(mine)} records of {len(records)} contacts")
    return records


def _check_call(contact: str, records: dict[str, dict[str, Any]], signals: int) -> str:
    """Return how the next start found an answered call. Raises `KillError` if the call was lost."""
    record = records.get(contact)
    if record is None:
        raise KillError(f"{contact} was answered and has no record")
    handoff = record["handoff"] or {}
    if signals == 0 and record["result"] != "indeterminate":
        raise KillError(f"{contact} was answered and never signalled: {record}")
    if record["reason"] != RESTARTED:
        return "over before"
    if handoff.get("reason") == RESTARTED:
        return "signalled by the next start"
    return "signalled before" if signals else "Signal begun, not seen"


def _check_record(contact: str, record: dict[str, Any], signals: int) -> None:
    state = (record["handoff"] or {}).get("state")
    if record["state"] != "ended" or state == "handoff_initiated":
        raise KillError(f"{contact} has no final state: {record}")
    if signals > 1:
        raise KillError(f"{contact} was signalled {signals} times: {record}")


def _write_config(folder: Path, cxone: Simulator) -> Path:
    clip = folder / "clip.wav"
    write_silence(clip, SPEECH_SECONDS)
    agent = {"type": "prompt", "audio": str(clip)}
    projects: dict[str, Settings] = {
        "release": project_settings("release", agent=agent),
        "refer": project_settings("refer", REFER, agent=agent),
        "ending": project_settings("ending", agent={**agent, "then": "hangup"}),
    }
    settings = bridge_settings(folder, {"acme": client_settings(NUMBER, cxone.url, projects)})
    file = folder / "target.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


if __name__ == "__main__":
    sys.exit(main())
