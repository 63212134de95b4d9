from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings
from tests.harness.waiting import wait_for


class Terminal:
    """A bridge with a terminal for its standard input, output and error; `text` is its output so far."""

    def __init__(self, file: Path) -> None:
        ours, theirs = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen([SIPBRIDGE, "run", file], stdin=theirs, stdout=theirs, stderr=theirs)  # noqa: S603 (our own)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def _read(self, ours: int) -> None:
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # EIO: the other end is closed
                data = b""
            if not data:
                os.close(ours)
                return
            self.text += data.decode().replace("\r\n", "\n")

    def wait(self) -> int:
        code = self.process.wait(20)
        self._reader.join(5)
        return code


@contextmanager
def terminal(folder: Path, cxone: Simulator) -> Iterator[Terminal]:
    config = bridge_settings(
        folder, {"acme": client_settings("+19995550001", cxone.url, {"one": project_settings("one")})}
    )
    file = folder / "bridge.yaml"
    file.write_text(yaml.safe_dump(config))
    running = Terminal(file)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def test_a_terminal_shows_readable_lines_from_ready_to_stopped(tmp_path: Path, cxone: Simulator) -> None:
    with terminal(tmp_path, cxone) as shown:
        wait_for(lambda: "ready: sip" in shown.text, "the line that says ready", 60)
        wait_for(lambda: "access token from CXone  event=token_requested client=acme" in shown.text, "a token")
        shown.process.send_signal(signal.SIGINT)
        assert shown.wait() == 0
    lines = shown.text.splitlines()
    assert re.search(r" INFO    draining: no new calls, and none in progress ", shown.text)
    assert lines[-1].endswith("stopped  event=stopped")
    assert not any(line.startswith("{") for line in lines)
