"""Runs a command once: bytes in, bytes out, and no process left running. Blocks: call it in a thread.

This does not use asyncio's subprocesses. uvloop forks on the thread of the event loop, which takes longer with more
memory: at 400 MB it blocked the loop for 70 ms and more, and audio is due every 20 ms. `subprocess` uses vfork.
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

KEPT_STDERR_BYTES = 4096
# A killed process ends at once unless it waits for a disk. Then it is reaped when the next process is started.
REAP_SECONDS = 0.25


class CommandFailed(SipbridgeError):
    """A command failed or gave no usable output. `stderr` is the end of its standard error."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


def run_command(command: Sequence[str], standard_input: bytes, *, deadline: float, max_bytes: int) -> bytes:
    """Run a program, without a shell, and return its standard output.

    Raises `CommandFailed` if it cannot be started, runs past the deadline (of `time.monotonic`), writes more than
    `max_bytes`, or ends with a status other than 0. Its process group is killed unless it ended on its own.
    """
    _remaining(deadline)
    # A file in memory instead of a pipe: the program need not read it, and no write can block.
    with os.fdopen(os.memfd_create("input"), "w+b") as text:
        text.write(standard_input)
        text.seek(0)
        try:
            process = Popen(command, stdin=text, stdout=PIPE, stderr=PIPE, start_new_session=True)  # noqa: S603 (the operator's)
        except OSError as error:
            raise CommandFailed(f"cannot be started: {error.strerror}") from None
    try:
        output, stderr = _read(process, deadline, max_bytes)
        status = _status(process, deadline)
    except BaseException:
        _kill(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if status:
        raise CommandFailed(_describe_status(status), stderr.decode(errors="replace"))
    return output


def _read(process: Popen[bytes], deadline: float, max_bytes: int) -> tuple[bytes, bytes]:
    """Read standard output and the end of standard error until both are closed."""
    output, stderr = bytearray(), b""
    with selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            for key, _ in pipes.select(_remaining(deadline)):
                data = os.read(key.fd, 65_536)
                if not data:
                    pipes.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    stderr = (stderr + data)[-KEPT_STDERR_BYTES:]
                elif len(output) + len(data) > max_bytes:
                    raise CommandFailed(f"wrote more than {max_bytes:,} bytes")
                else:
                    output += data
    return bytes(output), stderr


def _status(process: Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(_remaining(deadline))
    except TimeoutExpired:
        raise CommandFailed("took too long") from None


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise CommandFailed("took too long")
    return remaining


def _kill(process: Popen[bytes]) -> None:
    # The group exists while one of its processes does, so its number cannot have been reused.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutExpired):
        process.wait(REAP_SECONDS)


def _describe_status(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
