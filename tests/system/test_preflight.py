"""`run`, `check` and a reload refuse the same configurations with the same errors, but for what is open."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipbridge.cli import main
from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.program import Program
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .site import Site, site

Settings = dict[str, Any]
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("preflight"), cxone) as running:
        yield running


def _agent(settings: Settings, agent: Settings) -> None:
    settings["clients"]["acme"]["projects"]["release"]["agent"] = agent


def _file(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def _folder(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


def _set(path: str, value: object) -> Callable[[Settings, Path], None]:
    *sections, key = path.split(".")

    def change(settings: Settings, _: Path) -> None:
        for section in sections:
            settings = settings.setdefault(section, {})
        settings[key] = value

    return change


BAD: dict[str, tuple[Callable[[Settings, Path], None], str]] = {
    "calls": (_set("sip.max_calls", 1_000_000), "sip.max_calls: is over what this build"),
    "folder": (_set("store.url", "sqlite:///none/calls.db"), "store.url: the folder"),
    "journal": (_set("store.journal", "none/calls.journal"), "store.journal: the folder"),
    "directory": (_set("store.url", "sqlite:///."), "store.url: "),
    "redis": (_set("store.url", "redis://127.0.0.1/0"), "node.id: is missing"),
    "sip address": (
        _set("sip.listen", ["udp://192.0.2.1:5060"]),
        "sip.listen[0]: the address is not one of this machine",
    ),
    "http address": (_set("http.listen", "192.0.2.1:0"), "http.listen: the address is not one of this machine"),
    "host": (_set("http.listen", "no-such-host.invalid:0"), "http.listen: has a host that cannot be resolved"),
    "collision": (
        _set("sip.listen", ["udp://0.0.0.0:0", "tcp://0.0.0.0:45678", "tcp://127.0.0.1:45678"]),
        "sip.listen[2]: has the port of",
    ),
    "collision by name": (
        lambda settings, _: settings["http"].update(
            listen="127.0.0.1:45678", admin={"keys": ["key-of-the-operator"], "listen": "localhost:45678"}
        ),
        "http.admin.listen: has the port of http.listen",
    ),
    "retention": (_set("store.retention_hours", 1e12), "store.retention_hours: is too large"),
    "path with NUL": (_set("store.url", "sqlite:///a\0b"), "store.url: holds a line break or another control"),
    "path too long": (_set("store.url", "sqlite:///" + "a" * 300), "store.url: /"),
    "lock": (
        lambda settings, folder: settings["store"].update(url=f"sqlite:///{_folder(folder, 'own.db.lock')[:-5]}"),
        "store.url: /",
    ),
    "recording too long": (
        lambda settings, _: _agent(settings, {"type": "prompt", "audio": "a" * 300}),
        "clients.acme.projects.release.agent.audio: names no readable file (File name too long)",
    ),
    "recording": (
        lambda settings, folder: _agent(settings, {"type": "prompt", "audio": _file(folder, "bad.wav", b"RIFF")}),
        "clients.acme.projects.release.agent.audio: ",
    ),
    "authority": (
        lambda settings, folder: _agent(
            settings, {"type": "websocket", "url": "wss://a.test/", "ca_file": _file(folder, "bad.pem", b"none")}
        ),
        "clients.acme.projects.release.agent.ca_file: holds no certificate",
    ),
    "ipv6 listener": (_set("sip.listen", ["udp://[::1]:0"]), "sip.listen[0]: has an IPv6 address; SIP and RTP use"),
    "ipv6 agent": (
        lambda settings, _: _agent(settings, {"type": "sip", "uri": "sip:bot@[::1]:5060"}),
        "clients.acme.projects.release.agent.uri[0]: has an IPv6 address; SIP and RTP use",
    ),
    "unknown key": (_set("sip.max_call", 5), "sip.max_call: is an unknown key"),
}


@pytest.mark.parametrize("name", BAD)
def test_check_run_and_reload_refuse_the_same_files_with_the_same_errors(
    trunk: Site, name: str, capsys: Output
) -> None:
    file = trunk.folder / "bridge.yaml"
    good = file.read_text()
    change, said = BAD[name]
    settings = copy.deepcopy(yaml.safe_load(good))
    change(settings, trunk.folder)
    try:
        file.write_text(yaml.safe_dump(settings))
        assert main(["check", str(file)]) == 1
        checked = capsys.readouterr().err.splitlines()
        assert main(["run", "--log-format", "text", str(file)]) == 1
        assert capsys.readouterr().err.splitlines() == checked
        assert any(f": {said}" in line for line in checked), checked
        assert _refused(trunk) == checked
    finally:
        file.write_text(good)


def test_a_file_of_the_store_that_could_not_be_opened_again_prevents_a_start_and_no_reload(
    tmp_path: Path, cxone: Simulator, capsys: Output
) -> None:
    with site(tmp_path, cxone) as own:
        beside = Path(f"{own.settings()['store']['url'].removeprefix('sqlite:///')}-journal")
        beside.mkdir()
        problem = f"store.url: {beside} is not a file; remove it, or name another"
        assert main(["check", str(tmp_path / "bridge.yaml")]) == 1
        assert problem in capsys.readouterr().err
        own.reload((tmp_path / "bridge.yaml").read_text())
        own.bridge.program.logged(f"{problem}, before the next start")
        beside.rmdir()


def test_a_public_address_that_does_not_resolve_prevents_a_start_and_no_reload(trunk: Site, capsys: Output) -> None:
    file = trunk.folder / "bridge.yaml"
    good = file.read_text()
    settings = yaml.safe_load(good)
    settings["sip"]["public_address"] = "no-such-host.invalid"
    count = trunk.count()
    try:
        file.write_text(yaml.safe_dump(settings))
        for command in ("check", "run"):
            assert main([command, str(file)]) == 1
            assert ": sip.public_address: has no IPv4 address in DNS; " in capsys.readouterr().err
        os.kill(trunk.bridge.program.pid, signal.SIGHUP)
        assert count.grows_by(1, "sipbridge_config_reloads_total", result="success")
        lines = [
            f'"sip.public_address: {text}' for text in ("changed, which takes effect", "has no IPv4 address in DNS; ")
        ]
        trunk.bridge.program.logged(*lines)
    finally:
        file.write_text(good)


def _refused(trunk: Site) -> list[str]:
    """Reload the bridge, and return its errors about the file."""
    log = trunk.bridge.program.log
    before = len(log.read_text())
    count = trunk.count()
    os.kill(trunk.bridge.program.pid, signal.SIGHUP)
    assert count.grows_by(1, "sipbridge_config_reloads_total", result="client_error")

    def lines() -> list[str]:
        messages = [json.loads(line)["message"] for line in log.read_text()[before:].splitlines()]
        return [text.removeprefix("not reloaded: ") for text in messages if text.startswith("not reloaded: ")]

    return wait_for(lines, "the reason")


def test_a_start_with_a_bad_file_or_a_bad_environment_logs_each_cause_and_nothing_else(
    trunk: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = yaml.safe_load((trunk.folder / "bridge.yaml").read_text())
    settings["store"]["url"] = "sqlite:///none/calls.db"
    file, log = trunk.folder / "second.yaml", tmp_path / "second.log"
    file.write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("SIPBRIDGE_LOG_LEVEL", "verbose")
    assert Program([SIPBRIDGE, "run", file], log).wait(30) == 1
    lines = log.read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    plain = [line for line in lines if not line.startswith("{")]
    assert len(plain) == 3
    assert {event["event"] for event in events} == {"start_failed"}
    assert [event["message"] for event in events] == [f"start failed: {line}" for line in plain]
    assert any(": SIPBRIDGE_LOG_LEVEL: is not a valid log level; " in line for line in plain)


def test_a_failed_start_logs_its_cause_and_nothing_else(trunk: Site, tmp_path: Path) -> None:
    """An address in use is found only at the start; by then the CXone client must not have begun."""
    settings = yaml.safe_load((trunk.folder / "bridge.yaml").read_text())
    settings["store"]["url"] = f"sqlite:///{tmp_path}/calls.db"
    settings["sip"]["listen"] = [f"udp://{trunk.bridge.sip}", "tcp://127.0.0.1:0"]
    file, log = trunk.folder / "second.yaml", tmp_path / "second.log"
    file.write_text(yaml.safe_dump(settings))
    assert Program([SIPBRIDGE, "run", file], log).wait(30) == 1
    *lines, last = log.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {event["event"] for event in events} <= {"config_warning", "start_failed"}
    cause = f"sip.listen: udp://{trunk.bridge.sip} cannot be opened: the address is in use; free it, or name another"
    assert events[-1]["message"] == f"start failed: {cause}"
    assert last == f"sipbridge: {cause}"
