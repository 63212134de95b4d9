"""Asterisk as a peer of the bridge: Debian's package in a system of its own (`.ci/asterisk`), for the same calls.

Its configuration is in `asterisk/`: only the modules that the calls need, no records, no log of calls, no console.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.programs.program import Program
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch
from tests.harness.web.metrics import Metrics

TEMPLATES = Path(__file__).parent / "asterisk"
_NAME = re.compile(r"@([A-Z_]+)@")
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """The values in the configuration, each for the `@NAME@` with the same name.

    A call to the number with the handoff token is handed off, and one with the audio token is joined with the agent.
    """

    number: str
    handoff_token: str
    audio_token: str
    signals_url: str
    access_token: str
    transfer_uri: str
    agent: str  # a WebSocket URL


@dataclass(frozen=True, slots=True)
class _Place:
    """The folder of one run, as seen in its system, and its ports."""

    folder: str
    sip_port: int
    http_port: int


class Asterisk:
    """A running Asterisk."""

    def __init__(self, program: Program, sip_port: int, http_port: int) -> None:
        self.program = program
        self.sip = f"127.0.0.1:{sip_port}"
        self._metrics = f"http://127.0.0.1:{http_port}/metrics"

    def calls_in_progress(self) -> int:
        """Count the callers' channels; the agents have channels, too."""
        metrics = Metrics(fetch(self._metrics).body.decode())
        return round(metrics.value("asterisk_endpoints_channels_count", resource="trunk"))


def version(root: Path) -> str:
    """Return the name and version of a system's Asterisk."""
    return _run([*_program(root), "-V"]).strip()


@contextmanager
def asterisk(root: Path, log: Path, settings: AsteriskSettings) -> Iterator[Asterisk]:
    """Run the Asterisk of a system."""
    folder = Path(tempfile.mkdtemp(prefix="bench.", dir=root / "run"))
    place = _Place(f"/{folder.relative_to(root)}", free_port(), free_port())
    try:
        write_configuration(folder, asdict(settings) | asdict(place))
        command = [*_program(root), "-C", f"{place.folder}/asterisk.conf"]
        # As in Debian's unit: in the foreground, with real-time priority.
        with Program([*command, "-f", "-p"], log) as program:
            socket = folder / "asterisk.ctl"
            wait_for(lambda: socket.exists() or not program.is_running, "Asterisk's control socket", _START_SECONDS)
            if not program.is_running:
                raise program.error("did not start")
            _run([*command, "-rx", "core waitfullybooted"])
            yield Asterisk(program, place.sip_port, place.http_port)
            program.kill()  # its own end may take long, and nothing of it is kept
    finally:
        shutil.rmtree(folder)


def _program(root: Path) -> list[str]:
    return ["chroot", str(root), "/usr/sbin/asterisk"]


def _run(command: Sequence[str]) -> str:
    """Return the output of a command of Asterisk."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_START_SECONDS)  # noqa: S603 (our own)
    return done.stdout


def write_configuration(folder: Path, values: Mapping[str, object]) -> None:
    """Write the files of `asterisk/`, with the value of `name` for each `@NAME@`."""
    for template in TEMPLATES.iterdir():
        text = _NAME.sub(lambda found: str(values[found[1].lower()]), template.read_text())
        (folder / template.name).write_text(text)
