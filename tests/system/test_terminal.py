from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
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


def plain(shown: Terminal) -> str:
    """The text of a terminal without its colours."""
    return re.sub(r"\033\[\d+m", "", shown.text)


def test_a_terminal_shows_readable_lines_from_ready_to_stopped(tmp_path: Path, cxone: Simulator) -> None:
    with terminal(tmp_path, cxone) as shown:
        wait_for(lambda: "ready: sip" in plain(shown), "the line that says ready", 60)
        wait_for(lambda: "access token from CXone  event=token_requested client=acme" in plain(shown), "a token")
        shown.process.send_signal(signal.SIGINT)
        assert shown.wait() == 0
    lines = plain(shown).splitlines()
    assert re.search(r" INFO    draining: no new calls, and none in progress ", plain(shown))
    assert lines[-1].endswith("stopped  event=stopped")
    assert not any(line.startswith("{") for line in lines)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_each_command_has_colour_on_a_terminal_and_none_in_a_pipe(
    tmp_path: Path, no_color: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("SIPBRIDGE_WEBHOOK_SECRET", "secret-of-the-webhook")
    file, bad = tmp_path / "bridge.yaml", tmp_path / "bad.yaml"
    bad.write_text("sip: {max_calls: -1}")
    green, yellow, red = "\033[32m", "\033[33m", "\033[31m"
    commands: list[tuple[list[str | Path], list[str]]] = [
        (["init", file, "--yes"], ["\033[2m# a simulated CXone"]),
        (["check", file], [f"{green}valid", f"{yellow}warning:"]),
        (["check", bad], [f"{red}{bad}:"]),
        (["route-test", file, "--number", "+1"], [f"{red}sipbridge:"]),
        (["webhook-verify", bad, "--timestamp", "1", "--signature", "v1=0"], [f"{red}sipbridge:"]),
        (["hash-token", "short"], [f"{yellow}warning:"]),
    ]
    for command, colours in commands:
        with Terminal([SIPBRIDGE, *command]) as shown:
            shown.wait()
        for each in colours:
            assert (each in shown.text) is not bool(no_color), shown.text
        done = subprocess.run([SIPBRIDGE, *command], capture_output=True, text=True, check=False)  # noqa: S603 (our own)
        assert "\033" not in done.stdout + done.stderr
