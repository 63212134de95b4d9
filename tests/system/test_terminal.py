from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.terminal import Terminal
from tests.harness.settings import bridge_settings, client_settings, project_settings
from tests.harness.waiting import wait_for


@contextmanager
def terminal(folder: Path, cxone: Simulator) -> Iterator[Terminal]:
    config = bridge_settings(
        folder, {"acme": client_settings("+19995550001", cxone.url, {"one": project_settings("one")})}
    )
    file = folder / "bridge.yaml"
    file.write_text(yaml.safe_dump(config))
    with Terminal([SIPBRIDGE, "run", file]) as running:
        yield running


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
