"""SIPp, running one of our scenarios."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.ports import audio_port, free_port
from tests.harness.sip.sip_messages import GrowingLog, Message, read_messages
from tests.harness.waiting import wait_for

from .program import Program

SCENARIOS = Path(__file__).resolve().parents[3] / "sipp_scenarios"

ALL_SUCCEEDED = 0
CANNOT_BIND = 254
RECEIVE_SECONDS = 20  # a message that is later than this fails the call
_BIND_TRIES = 5
_MAX_SHOWN_CHARACTERS = 4_000

_runs = itertools.count(1)


class SippError(Exception):
    """A scenario did not go as written; the message has SIPp's errors."""


def call_options(count: int = 1, *, hold_seconds: float = 0) -> list[str]:
    """Return SIPp's options for calls whose messages are logged: this many at once, a `<pause/>` of `hold_seconds`."""
    return ["-m", str(count), "-r", "1000", "-d", str(round(hold_seconds * 1000)), "-trace_msg"]


class Sipp:
    """A run of SIPp: a caller if there is a `remote` (`HOST:PORT`), otherwise a called party that waits on `port`.

    `keys` fill the `[names]` of the scenario; `options` are SIPp's own, by default `call_options()`. `folder` has the
    scenario's recordings, and receives the logs.
    """

    def __init__(
        self,
        scenario: str,
        folder: Path,
        *,
        remote: str | None = None,
        number: str = "service",
        keys: Mapping[str, str] | None = None,
        transport: str = "udp",
        options: Sequence[str] | None = None,
        port: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.folder = folder
        self._arguments = [
            *([remote] if remote else []),
            *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", number, "-t", "t1" if transport == "tcp" else "u1"),
            *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-bind_local", "-nostdin"),
            *("-recv_timeout", str(RECEIVE_SECONDS * 1000)),
            *(part for name, value in (keys or {}).items() for part in ("-key", name, value)),
            *(call_options() if options is None else options),
        ]
        self._fixed_port = port
        self._start()

    def _start(self) -> None:
        executable = shutil.which("sipp")
        if executable is None:
            raise SippError("SIPp is not installed; Debian's package sip-tester has it")
        self.port = self._fixed_port or free_port()
        log = self.folder / f"{self.scenario}-{next(_runs)}.log"
        # By default SIPp names the log by its process id, which may have been another's before.
        self._message_log = log.with_suffix(".messages.log")
        ports = ["-p", str(self.port), "-mp", str(audio_port())]
        command = [executable, *self._arguments, *ports, "-message_file", str(self._message_log)]
        self.program = Program(command, log, environ={"TERM": "dumb"}, cwd=self.folder)

    def await_port(self) -> Self:
        """Return once it accepts calls; on another port if it lost its own to another program."""
        for _ in range(_BIND_TRIES):
            wait_for(lambda: _is_bound(self.port) or not self.program.is_running, f"SIPp on port {self.port}")
            if self.program.is_running:
                return self
            self._start()
        raise SippError(f"{self.scenario}: found no port\n{self.errors}")

    def check(self, seconds: float = 30.0) -> Self:
        """Return once the scenario has ended. Raises `SippError` if it did not go as written."""
        code = self.wait(seconds)
        if code != ALL_SUCCEEDED:
            raise SippError(
                f"{self.scenario}: SIPp ended with exit code {code}\n{self.errors[-_MAX_SHOWN_CHARACTERS:]}"
            )
        return self

    def wait(self, seconds: float = 30.0) -> int:
        """Return SIPp's exit code; if it lost its port before it began, that of another try."""
        for _ in range(_BIND_TRIES):
            code = self.program.wait(seconds)
            if code != CANNOT_BIND:
                return code
            self._start()
        raise SippError(f"{self.scenario}: found no port\n{self.errors}")

    @property
    def messages(self) -> list[Message]:
        """The SIP messages so far, oldest first."""
        return read_messages(self._message_log)

    def follow(self) -> GrowingLog:
        """Return a reader of the messages, for one that reads them again and again."""
        return GrowingLog(self._message_log)

    def received(self, status_or_method: int | str) -> list[Message]:
        """Return the responses with a status, or the requests with a method, that SIPp received."""
        return [m for m in self.messages if not m.sent and (m.status or m.method) == status_or_method]

    @property
    def errors(self) -> str:
        """SIPp's errors."""
        return self.program.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.program.is_running:
            self.program.kill()


def _is_bound(port: int) -> bool:
    """Return True if a UDP socket of this machine has the port (proc(5), /proc/net/udp)."""
    return any(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/udp").read_text().splitlines()[1:])
