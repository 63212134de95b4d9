"""Runs the agent built from Pipecat's parts (`pipecat_agent`) in its own environment, and reads its reports."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.media.recordings import as_mulaw, linear
from tests.harness.media.stamp import ReceivedFrame, find_stamps
from tests.harness.peers import PEERS

from .program import Program

PYTHON = PEERS / "bin" / "python"

# DTMF digits that it handles; they are copied from pipecat_agent.py, which cannot be imported here.
PLAY, HAND_OFF, CLEAR, HANG_UP = "1", "2", "*", "0"

Report = dict[str, Any]


@dataclass(frozen=True)
class ReceivedAudio:
    """Linear samples of 16 bits that Pipecat made from the bridge's messages, with the time of each piece."""

    pieces: list[tuple[int, bytes]]

    def stamps(self) -> list[ReceivedFrame]:
        """The stamped frames in it."""
        return list(find_stamps((at_ns, as_mulaw(linear(pcm))) for at_ns, pcm in self.pieces))


class PipecatAgent:
    """The running agent. Reports are read in order; those before the requested one are skipped.

    `tune` is a WAV file that it plays on a DTMF digit.
    """

    def __init__(self, folder: Path, tune: Path) -> None:
        # -P: the files beside the program are not importable.
        command: list[str | Path] = [PYTHON, "-P", Path(__file__).with_name("pipecat_agent.py"), tune]
        self.program = Program(command, folder / "pipecat.log", environ={"LOGURU_LEVEL": "INFO"})
        self.url = f"ws://127.0.0.1:{self.report('ready')['port']}/"

    def report(self, event: str, seconds: float = 10.0) -> Report:
        """Return the next report of an event. Raises `ProgramError`."""
        report: Report = json.loads(self.program.line_with(f'{{"event": "{event}"', seconds))
        return report

    def digits(self, count: int) -> str:
        """Return the caller's next DTMF digits."""
        return "".join(self.report("digit")["digit"] for _ in range(count))

    def unhandled(self, event: str) -> Report:
        """Return the report of the next `message` of an event that Pipecat has no frame for."""
        # When a call is hung up, the agent's queued audio plays first, for up to 10 s.
        while (report := self.report("unhandled", 20))["message"]["event"] != event:
            pass
        return report

    def received_audio(self) -> ReceivedAudio:
        """Return all audio that it received in a call, once its socket is closed."""
        pieces = self.report("closed")["received"]
        return ReceivedAudio([(at_ns, base64.b64decode(audio)) for at_ns, audio in pieces])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.program.__exit__(kind, error, at)
