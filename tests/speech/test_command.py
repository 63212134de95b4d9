from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from sipbridge.speech.command import CommandFailed, run_command

from .programs import python

# Writes its number into a FIFO and stays, with a child that stays too; both hold the FIFO open.
LONG_RUNNING = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
reports = os.open(sys.argv[1], os.O_WRONLY)
child = os.fork()
if child:
    os.write(reports, b"%d\\n" % os.getpid())
while True:
    time.sleep(60)
"""
SECONDS = 2.0  # the deadline of slow scripts; the script must be running by then


def run(command: Sequence[str], text: bytes = b"", *, seconds: float = 30, max_bytes: int = 1_000_000) -> bytes:
    return run_command(command, text, deadline=time.monotonic() + seconds, max_bytes=max_bytes)


class Running:
    """A command in a thread, and the FIFO through which its processes report that they run."""

    def __init__(self, done: Future[bytes], reports: IO[str]) -> None:
        self._done = done
        self._reports = reports
        self._pid = int(reports.readline())

    def why_it_failed(self) -> str:
        with pytest.raises(CommandFailed) as failed:
            self._done.result()
        return str(failed.value)

    def has_no_process_left(self) -> bool:
        """True if neither the program nor a child of it is left, not even as a zombie."""
        with self._reports:
            return self._reports.read() == "" and not Path(f"/proc/{self._pid}").exists()


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def start(thread: ThreadPoolExecutor, fifo: Path, script: str, *, seconds: float, max_bytes: int = 1000) -> Running:
    os.mkfifo(fifo)
    done = thread.submit(run, python(script, fifo), seconds=seconds, max_bytes=max_bytes)
    return Running(done, fifo.open())


def test_standard_input_and_output_are_passed() -> None:
    text = "Grüße, naïve café\n".encode()
    assert run(python("sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"), text) == text[::-1]


def test_a_failure_by_status_includes_standard_error() -> None:
    with pytest.raises(CommandFailed, match="ended with status 3") as failed:
        run(python("sys.stderr.write('no such voice'); sys.exit(3)"))
    assert failed.value.stderr == "no such voice"


def test_a_signal_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="ended by signal 9"):
        run(python("os.kill(os.getpid(), 9)"))


def test_only_the_end_of_long_standard_error_is_kept() -> None:
    with pytest.raises(CommandFailed) as failed:
        run(python("sys.stderr.write('x' * 1_000_000 + 'the end'); sys.exit(1)"))
    assert len(failed.value.stderr) == 4096
    assert failed.value.stderr.endswith("the end")


def test_a_missing_program_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="cannot be started: No such file or directory"):
        run(["/no/such/program"])


def test_a_file_that_is_not_executable_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(CommandFailed, match="cannot be started: Permission denied"):
        run([str(tmp_path / "text")])


@pytest.mark.parametrize("reading", ["os.close(0)", "pass", "sys.stdin.buffer.read(1)"])
def test_a_program_need_not_read_its_input(reading: str) -> None:
    assert run(python(f"{reading}\nprint('done')"), b"x" * 500_000) == b"done\n"


def test_output_up_to_the_limit_is_accepted() -> None:
    assert len(run(python("print('x' * 999)"), max_bytes=1000)) == 1000


def test_too_much_output_ends_the_program(thread: ThreadPoolExecutor, tmp_path: Path) -> None:
    script = LONG_RUNNING.replace("while True:", "if child: print('x' * 100_000, flush=True)\nwhile True:")
    running = start(thread, tmp_path / "fifo", script, seconds=30)
    assert running.why_it_failed() == "wrote more than 1,000 bytes"
    assert running.has_no_process_left()


def test_at_the_deadline_the_program_and_its_children_are_killed(thread: ThreadPoolExecutor, tmp_path: Path) -> None:
    running = start(thread, tmp_path / "fifo", LONG_RUNNING, seconds=SECONDS)
    assert running.why_it_failed() == "took too long"
    assert running.has_no_process_left()


@pytest.mark.parametrize(
    "end",
    [
        "while not child:",  # the program ends, and its child keeps the output open
        "os.close(1); os.close(2)\nwhile True:",  # the output ends, and the program runs on
    ],
)
def test_at_the_deadline_what_remains_of_a_half_ended_program_is_killed(
    thread: ThreadPoolExecutor, tmp_path: Path, end: str
) -> None:
    running = start(thread, tmp_path / "fifo", LONG_RUNNING.replace("while True:", end), seconds=SECONDS)
    assert running.why_it_failed() == "took too long"
    assert running.has_no_process_left()


def test_a_program_is_not_started_after_its_deadline(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="took too long"):
        run(["touch", str(tmp_path / "started")], seconds=0)
    assert not (tmp_path / "started").exists()
