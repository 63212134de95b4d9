"""Runs a command once: bytes in, bytes out, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from sipbridge.errors import SipbridgeError

KEPT_COMPLAINT_BYTES = 4096
# A process that was killed goes at once, unless it waits for a disk: then it is reaped when it can be.
REAP_SECONDS = 0.25


class CommandFailed(SipbridgeError):
    """A command gave nothing that can be used. The message says why; `complaint` is the end of its standard error."""

    def __init__(self, message: str, complaint: str = "") -> None:
        super().__init__(message)
        self.complaint = complaint


async def run_command(command: Sequence[str], standard_input: bytes, *, max_bytes: int) -> bytes:
    """Run a program, without a shell, and return its standard output.

    Raises `CommandFailed` where it cannot be started, ends with another status than 0 or writes more than `max_bytes`.
    Unless it ended by itself it is killed with all of its process group; so it is when this is cancelled.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, run = await loop.subprocess_exec(lambda: _Run(max_bytes), *command, start_new_session=True)
    except OSError as error:
        raise CommandFailed(f"cannot be started: {error.strerror}") from None
    try:
        stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
        # A program that doesn't read to the end may still have all it needs.
        stdin.write(standard_input)
        stdin.write_eof()
        await run.finished
        status = transport.get_returncode()
        if status:
            raise CommandFailed(_ending(status), run.complaint.decode(errors="replace"))
        return bytes(run.output)
    finally:
        if not run.over:
            # The group is there as long as one of its processes is, so the number cannot be another's yet.
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await asyncio.wait({run.exited}, timeout=REAP_SECONDS)
        transport.close()


def _ending(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"


class _Run(asyncio.SubprocessProtocol):
    """Gathers what a process writes. `finished` is done when it has ended and all its pipes are closed.

    Lower than `asyncio.subprocess`, whose processes can neither be kept from filling the memory nor be let go while a
    child of theirs holds on to a pipe.
    """

    def __init__(self, max_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.output = bytearray()
        self.complaint = b""
        self.over = False
        self._max_bytes = max_bytes

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != 1:
            self.complaint = (self.complaint + data)[-KEPT_COMPLAINT_BYTES:]
        elif len(self.output) + len(data) <= self._max_bytes:
            self.output += data
        elif not self.finished.done():
            self.finished.set_exception(CommandFailed(f"wrote more than {self._max_bytes:,} bytes"))

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self.over = True
        if not self.finished.done():
            self.finished.set_result(None)
