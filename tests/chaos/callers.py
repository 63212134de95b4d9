"""The callers: SIPp places calls at a steady rate while a fault happens, and its messages show what became of each."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.programs.sipp import Sipp
from tests.harness.settings import token
from tests.harness.sip.sip_messages import Message
from tests.harness.waiting import wait_for

from .cluster import NUMBER

SCENARIOS = {"release": "release_many", "refer": "load_handoff"}  # by project
PATIENCE_SECONDS = 180  # of a caller; then the run is over
ANSWER_SECONDS = 15.0  # from the last INVITE to its final response
MANY = 1_000_000
PLACE_NO_MORE = signal.SIGUSR1  # to SIPp
FINAL = 200


@dataclass
class Caller:
    """One call as the caller saw it. `status` is the final response to the INVITE, or 0; `node` is who answered."""

    contact: str
    call_id: str
    invited_at: datetime
    status: int = 0
    answer_seconds: float = 0.0
    node: str = ""
    has_bye: bool = False

    @property
    def is_answered(self) -> bool:
        """True if the call was a conversation."""
        return self.status == 200


class Callers:
    """Calls to `remote`, of all projects in equal parts, until the block ends. `prefix` begins their contacts.

    With a number of `calls` they are placed at once, and no others.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        remote: str,
        per_second: float,
        *,
        projects: Sequence[str] = tuple(SCENARIOS),
        calls: int | None = None,
    ) -> None:
        folder.mkdir()
        rate = per_second / len(projects)
        self._running = [
            Sipp(
                SCENARIOS[project],
                folder,
                remote=remote,
                number=NUMBER,
                keys={"token": token(project), "contact_id": f"{prefix}-{project}"},
                options=[
                    *("-m", str(calls or MANY), "-r", str(round(1000 * rate)), "-rp", "1000000", "-l", str(MANY)),
                    *("-rtp_echo", "-recv_timeout", str(PATIENCE_SECONDS * 1000), "-trace_msg"),
                ],
            ).await_port()
            for project in projects
        ]
        self._logs = [sipp.follow() for sipp in self._running]
        self._callers: dict[str, Caller] = {}

    def seen(self) -> list[Caller]:
        """Return the calls so far."""
        for log in self._logs:
            for message in log.more():
                self._take(message)
        return list(self._callers.values())

    def stop_placing(self) -> None:
        """Place no more calls; return once each has its final response, or has waited long for one."""
        for sipp in self._running:
            if sipp.program.is_running:
                os.kill(sipp.program.pid, PLACE_NO_MORE)
        with suppress(TimeoutError):  # who is not answered is counted
            wait_for(lambda: all(caller.status for caller in self.seen()), "the last answers", ANSWER_SECONDS)

    def _take(self, message: Message) -> None:
        call_id = message.header("Call-ID")
        caller = self._callers.get(call_id)
        if caller is None:
            if message.sent and message.method == "INVITE":
                contact = message.header("X-InContact-ContactId")
                self._callers[call_id] = Caller(contact, call_id, message.at)
        elif message.sent:
            return
        elif message.method == "INVITE" and message.status >= FINAL and not caller.status:
            caller.status = message.status
            caller.answer_seconds = (message.at - caller.invited_at).total_seconds()
            caller.node = message.header("Contact")
        elif message.method == "BYE" and not message.status:
            caller.has_bye = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for sipp in self._running:
            if sipp.program.is_running:
                sipp.program.kill()
