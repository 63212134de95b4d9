"""Runs a command once: bytes in, bytes out, and no process left behind. Blocks, so it is for threads.

No processes of asyncio's: uvloop forks on the loop's thread, which takes longer the more memory the bridge has; at
400 MB it held the loop up for 70 ms and more, and audio is due each 20. `subprocess` uses vfork and holds up nobody.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from subprocess import PIPE, Popen, TimeoutExpired

from sipbridge.errors import SipbridgeError

KEPT_COMPLAINT_BYTES = 4096
# A process that was killed goes at once, unless it waits for a disk: then it is reaped when the next one is started.
REAP_SECONDS = 0.25


class CommandFailed(SipbridgeError):
    """A command gave nothing that can be used. The message says why; `complaint` is the end of its standard error."""

    def __init__(self, message: str, complaint: str = "") -> None:
        super().__init__(message)
        self.complaint = complaint


def run_command(command: Sequence[str], standard_input: bytes, *, deadline: float, max_bytes: int) -> bytes:
    """Run a program, without a shell, and return its standard output.

    Raises `CommandFailed` where it cannot be started, is not done at the deadline (of `time.monotonic`), writes more
    than `max_bytes` or ends with another status than 0. Unless it ended by itself, all of its process group is killed.
    """
    _left(deadline)
    # A file in memory, and no pipe: a program need not read it, and nobody has to wait until it does.
    with os.fdopen(os.memfd_create("input"), "w+b") as text:
        text.write(standard_input)
        text.seek(0)
        try:
            process = Popen(command, stdin=text, stdout=PIPE, stderr=PIPE, start_new_session=True)  # noqa: S603 (the operator's)
        except OSError as error:
            raise CommandFailed(f"cannot be started: {error.strerror}") from None
    try:
        output, complaint = _read(process, deadline, max_bytes)
        status = _status(process, deadline)
    except BaseException:
        _kill(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if status:
        raise CommandFailed(_ending(status), complaint.decode(errors="replace"))
    return output


def _read(process: Popen[bytes], deadline: float, max_bytes: int) -> tuple[bytes, bytes]:
    """Read standard output, and the end of standard error, until both are closed."""
    output, complaint = bytearray(), b""
    with selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            for key, _ in pipes.select(_left(deadline)):
                data = os.read(key.fd, 65_536)
                if not data:
                    pipes.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    complaint = (complaint + data)[-KEPT_COMPLAINT_BYTES:]
                elif len(output) + len(data) > max_bytes:
                    raise CommandFailed(f"wrote more than {max_bytes:,} bytes")
                else:
                    output += data
    return bytes(output), complaint


def _status(process: Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(_left(deadline))
    except TimeoutExpired:
        raise CommandFailed("took too long") from None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise CommandFailed("took too long")
    return left


def _kill(process: Popen[bytes]) -> None:
    # The group is there as long as one of its processes is, so the number cannot be another's yet.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutExpired):
        process.wait(REAP_SECONDS)


def _ending(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
