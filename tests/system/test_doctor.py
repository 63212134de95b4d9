"""`sipbridge doctor` with a running bridge, and with faults on every side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.terminal import Terminal

from .first_site import FirstSite, first_site

LINE = re.compile(r"^(ok|warning|fault) +(.+?): (.*)$")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[FirstSite]:
    with first_site(tmp_path_factory.mktemp("doctor"), cxone) as running:
        yield running


def findings(output: str) -> dict[str, tuple[str, str]]:
    """The level and the text of each finding, by its subject."""
    lines = [LINE.match(line) for line in output.splitlines()[:-2]]
    assert all(lines), output
    return {found[2]: (found[1], found[3]) for found in lines if found}


def test_a_running_bridge_has_no_fault(site: FirstSite) -> None:
    done = site.run("doctor")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    found = findings(done.stdout)
    sip = f"udp://{site.bridge.sip}"
    assert found[sip] == ("ok", "a bridge runs here: OPTIONS gets 200")
    assert found[f"tcp://{site.bridge.sip_tcp}"] == found[sip]
    assert found[site.bridge.http] == ("ok", "a bridge runs here, and takes calls")
    assert found["CXone acme"][0] == "ok"
    assert found["clock, acme"] == ("ok", "agrees with CXone's")
    assert found["agent acme/voice"][0] == "ok"
    assert re.fullmatch(r"0 faults, \d+ warnings?", done.stdout.splitlines()[-1])


def test_each_fault_is_one_line_with_what_to_do(site: FirstSite, tmp_path: Path) -> None:
    secrets = site.file.parent / "secrets"
    file = tmp_path / "bridge.yaml"
    text = site.file.read_text().replace("file:secrets", f"file:{secrets}")
    text = re.sub(r"ws://127.0.0.1:\d+", f"ws://127.0.0.1:{free_port()}", text)
    (tmp_path / "wrong").write_text("wrong-secret-of-client")
    file.write_text(text.replace(f"file:{secrets}/acme_client_secret", "file:wrong"))
    done = FirstSite(file, site.bridge, site.project).run("doctor")
    assert done.returncode == 1
    found = findings(done.stdout)
    assert found["CXone acme"][0] == "fault"
    assert found["CXone acme"][1].endswith("check cxone.client_id and cxone.client_secret")
    assert found["agent acme/voice"][0] == "fault"
    assert found["agent acme/voice"][1].endswith("connection refused; check agent.url, and that the agent runs")
    assert done.stdout.splitlines()[-1].startswith("2 faults, ")
    for secret in (*secrets.iterdir(), tmp_path / "wrong"):
        assert secret.read_text().strip() not in done.stdout + done.stderr


def test_a_file_with_errors_is_all_that_is_checked(site: FirstSite, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("sip: {max_calls: -1}\n")
    done = FirstSite(file, site.bridge, site.project).run("doctor")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"fault   configuration: {file}: clients: is missing; it is required",
        f"fault   configuration: {file}:1: sip.max_calls: is too small; it must be over 0",
        "",
        "2 faults, 0 warnings",
    ]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colour_and_progress(site: FirstSite, no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal(site.command("doctor")) as person:
        assert person.wait() == 0, person.text
    assert ("\033[32mok" in person.text) is not bool(no_color)
    assert "checking ports …" in person.text
