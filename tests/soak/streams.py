"""The calls of a soak: their kinds, how each ends, and the SIPp processes that place them, one per kind."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.programs.sipp import SCENARIOS, Sipp
from tests.harness.settings import token

NUMBER = "+19995550001"
EARLY_SECONDS = 0.4
_STAT = "stat.csv"


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls of one kind. `code` is the final response to the INVITE; `weight` its share of all calls.

    With `leaves_record` the bridge stores a record of it; with `echoes` the caller echoes the RTP that it receives.
    `number` is the dialled number, `token` the one shown instead of its project's.
    """

    name: str
    scenario: str
    code: int = 200
    weight: float = 1
    leaves_record: bool = True
    echoes: bool = True
    number: str = NUMBER
    token: str = ""


STREAMS = (
    Stream("release", "release", weight=3),
    Stream("taken", "release_by_either", weight=2),
    Stream("refer", "refer_ok", weight=3),
    Stream("refer-busy", "refer_busy"),
    Stream("refer-bye", "refer_bye_before_notify"),
    Stream("desk", "release", weight=2),
    Stream("desk-busy", "release"),
    Stream("sip", "release", weight=2),
    Stream("sip-bye", "release"),
    Stream("sip-busy", "agent_caller_480", code=480),
    Stream("cancel", "agent_caller_cancels", code=487),
    Stream("websocket", "media_caller", weight=3, echoes=False),
    Stream("websocket-404", "agent_caller_480", code=480),
    Stream("api", "release", weight=2),
    Stream("early", "caller_hangs_up", weight=2),
    Stream("ending", "release", weight=2),
    Stream("silent", "release", echoes=False),
    Stream("rtp-stops", "media_caller", echoes=False),
    Stream("no-number", "unknown_number", code=404, leaves_record=False, number="+19995550099"),
    Stream("no-token", "bad_token", code=403, leaves_record=False, token="nobody's"),
    Stream("no-codec", "no_common_codec", code=488, leaves_record=False),
    Stream("two-ids", "contact_ids_differ", code=400, leaves_record=False),
)


@dataclass(frozen=True, slots=True)
class CallCounts:
    """SIPp's counts of one stream; `prefix` begins the contact ids of its calls, and of no others."""

    stream: Stream
    prefix: str
    calls: int
    succeeded: int


class Traffic:
    """All streams, from start to end. `name` begins the contact ids; `rtp_port` has the audio of a `media_caller`."""

    def __init__(self, folder: Path, name: str, remote: str, rtp_port: int, *, rate: float, seconds: float) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._running: list[tuple[Stream, str, Sipp]] = []
        self._seconds = seconds
        whole = sum(stream.weight for stream in STREAMS)
        for place, stream in enumerate(STREAMS):
            prefix = f"{name}{place}-"
            keys = {
                "token": stream.token or token(stream.name),
                "contact_id": prefix.rstrip("-"),
                "rtp_port": str(rtp_port),
            }
            own_rate = rate * stream.weight / whole
            sipp = self._place(
                stream, remote, keys | {"payload_type": "0"}, own_rate, max(1, round(own_rate * seconds))
            )
            self._running.append((stream, prefix, sipp))

    def _place(self, stream: Stream, remote: str, keys: Mapping[str, str], rate: float, calls: int) -> Sipp:
        folder = self._folder / stream.name
        folder.mkdir()
        options = [
            *("-m", str(calls), "-r", "1", "-rp", str(round(1000 / rate)), "-l", str(calls)),
            *("-d", str(round(EARLY_SECONDS * 1000)), *stat_options(folder)),
            *(["-rtp_echo"] if stream.echoes else []),
        ]
        scenario = with_own_contacts(stream.scenario, folder)
        return Sipp(scenario, folder, remote=remote, number=stream.number, keys=keys, options=options)

    @property
    def is_over(self) -> bool:
        """True if every call has been placed and has ended."""
        return not any(sipp.program.is_running for _, _, sipp in self._running)

    def results(self) -> list[CallCounts]:
        """Wait for the last call, and return the counts of all streams."""
        placed = []
        for stream, prefix, sipp in self._running:
            sipp.wait(self._seconds + 90)
            placed.append(CallCounts(stream, prefix, *_read_counts(self._folder / stream.name)))
        return placed

    def errors(self) -> str:
        """SIPp's errors, by stream."""
        return "\n".join(f"{stream.name}: {sipp.errors[-2000:]}" for stream, _, sipp in self._running if sipp.wait())

    def stop(self) -> None:
        """End the running processes."""
        for _, _, sipp in self._running:
            if sipp.program.is_running:
                sipp.program.kill()


def with_own_contacts(scenario: str, folder: Path) -> str:
    """Make a scenario in which each call has a contact id of its own, `[contact_id]` and the number of the call."""
    text = (SCENARIOS / f"{scenario}.xml").read_text()
    text = text.replace("[main_contact_id]", "[contact_id]").replace("[contact_id]", "[contact_id]-[call_number]")
    (folder / f"{scenario}.xml").write_text(text)
    return str(folder / scenario)


def stat_options(folder: Path) -> list[str]:
    """SIPp's options to write its counts into the folder."""
    return ["-trace_stat", "-fd", "1", "-stf", str(folder / _STAT)]


def end_called_party(stream: Stream, sipp: Sipp) -> CallCounts:
    """End a SIPp that answers calls, and return its counts."""
    os.kill(sipp.program.pid, signal.SIGUSR1)  # at the end of its calls
    sipp.wait()
    return CallCounts(stream, "", *_read_counts(sipp.folder))


def _read_counts(folder: Path) -> tuple[int, int]:
    """Calls placed or answered, and those that went as the scenario says."""
    with (folder / _STAT).open() as lines:
        *_, last = csv.DictReader(lines, delimiter=";")
    return int(last["TotalCallCreated"]), int(last["SuccessfulCall(C)"])
