"""`sipbridge call` through a running bridge, whose configuration `sipbridge init` wrote."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, Bridge, Project, running_bridge
from tests.harness.programs.program import Program
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.terminal import Terminal

STEP = re.compile(r"^ +\d+\.\d{3}  (\w+) +(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Site:
    """A bridge with the small agent, and the file that `init` wrote."""

    file: Path
    bridge: Bridge
    project: Project

    def command(self, *options: str) -> list[str | Path]:
        return [SIPBRIDGE, "call", self.file, "--sip", f"udp://{self.bridge.sip}", "--api", self.bridge.http, *options]

    def call(self, *options: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environ = os.environ | dict(environ or {})
        return subprocess.run(  # noqa: S603 (our own)
            self.command(*options), capture_output=True, text=True, check=False, timeout=60, env=environ
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("trial")
    with Program([SIPBRIDGE, "agent", "--listen", "127.0.0.1:0"], folder / "agent.log") as agent:
        url = agent.line_with("ready").partition("ready: ")[2].partition(",")[0]
        file = folder / "bridge.yaml"
        options = ["--issuer", cxone.url, "--agent", url, "--sip", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        subprocess.run([SIPBRIDGE, "init", file, *options], check=True, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S603 (our own)
        with running_bridge(file, folder / "bridge.log", {}) as bridge:
            key = (folder / "secrets" / "acme_voice_api_key").read_text().strip()
            yield Site(file, bridge, bridge.project("acme", "voice", key))


def steps(output: str) -> list[tuple[str, str]]:
    return STEP.findall(output)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_test_call_is_handed_off_and_prints_the_view_of_each_program(
    site: Site, cxone: Simulator, transport: str
) -> None:
    address = site.bridge.sip if transport == "udp" else site.bridge.sip_tcp
    contact = f"test-of-{transport}"
    done = site.call("--contact-id", contact, "--sip", f"{transport}://{address}")
    assert (done.returncode, done.stderr) == (0, "")
    seen = steps(done.stdout)
    call = site.project.ended_call(contact)
    for step in (
        ("trunk", "→ INVITE +19995550001, from +15550100"),
        ("trunk", f"← 200 OK, call {call['id']}"),
        ("trunk", "→ ACK: audio flows in both directions"),
        ("caller", "← receives the first words of the agent"),
        ("caller", "→ speaks for 0.9 s"),
        ("caller", "→ sends DTMF digit 0"),
        ("bridge", "requests the handoff: to care, reason dtmf"),
        ("CXone", f"Signal for contact {contact}"),
        ("trunk", "→ BYE"),
        ("bridge", "handoff_completed, confirmed"),
    ):
        assert step in seen
    assert "p2  10000002\n" in done.stdout
    times = [float(time) for time in re.findall(r"^ +(\d+\.\d{3})  ", done.stdout, re.MULTILINE)]
    assert times == sorted(times)
    assert done.stdout.endswith("\nThe call works.\n")
    assert call["handoff"]["state"] == "handoff_completed"
    assert len(cxone.signals(contact)) == 1
    (packets,) = re.findall(r"received (\d+) packets", done.stdout)
    assert int(packets) > 100


def test_without_digits_the_caller_hangs_up_and_hears_the_echo(site: Site, cxone: Simulator) -> None:
    done = site.call("--digits", "", "--contact-id", "test-no-digits")
    assert done.returncode == 0, done.stdout
    assert ("trunk", "→ BYE") in steps(done.stdout)
    (voiced,) = re.findall(r"([\d.]+) s of them are not silent", done.stdout)
    assert float(voiced) > 1.5  # 1.2 s of greeting, and the echo
    call = site.project.ended_call("test-no-digits")
    assert (call["ended_by"], call["handoff"]) == ("caller", None)
    assert cxone.signals("test-no-digits") == []


def test_a_wrong_token_is_rejected_and_the_call_says_where_the_reason_is(site: Site) -> None:
    done = site.call("--token", "wrong")
    assert done.returncode == 1
    assert "Fault: the bridge rejects the call with 403 Forbidden" in done.stdout
    assert not [text for _, text in steps(done.stdout) if "ACK" in text]


def test_digits_that_the_agent_does_not_know_are_a_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPBRIDGE_API_KEY", site.project.key)
    done = site.call("--digits", "7", "--handoff-seconds", "1")
    assert done.returncode == 1
    assert "Fault: no handoff followed the DTMF digits 7" in done.stdout


def test_a_bridge_that_does_not_run_is_a_fault(site: Site) -> None:
    done = site.call("--sip", f"udp://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "Connection refused; is the bridge running" in done.stdout
    done = site.call("--api", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "the HTTP API is not reached" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_key_is_named(site: Site) -> None:
    done = site.call("--key", "wrong")
    assert done.returncode == 1
    assert "the HTTP API refuses the key with 401" in done.stderr


def test_a_file_with_hashes_needs_the_token(site: Site, tmp_path: Path) -> None:
    secrets = site.file.parent / "secrets"
    text = site.file.read_text().replace("file:secrets", f"file:{secrets}")
    hashed = subprocess.run(  # noqa: S603 (our own)
        [SIPBRIDGE, "hash-token", "-"], input="some-other-long-token", capture_output=True, text=True, check=True
    ).stdout.strip()
    file = tmp_path / "hashed.yaml"
    file.write_text(text.replace(f"file:{secrets}/acme_voice_token", hashed))
    done = Site(file, site.bridge, site.project).call()
    assert done.returncode == 1
    assert "has only the hash of the token of project voice; give it with --token -" in done.stderr


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colour_unless_it_wants_none(
    site: Site, no_color: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal(site.command("--digits", "")) as person:
        assert person.wait() == 0, person.text
    assert ("\033[32m" in person.text) is not bool(no_color)
    assert "speaking …" in person.text
    assert "\033[" not in site.call("--token", "wrong").stdout


def test_a_handoff_by_refer_is_accepted_as_cxone_does(site: Site, cxone: Simulator) -> None:
    file = site.file.with_name("refer.yaml")
    release = 'care: {skill: "10000002", method: release}'
    assert release in site.file.read_text()
    refer = 'care: {skill: "10000002", method: refer, uri: "sip:+15550199@127.0.0.1:5080", headers: {X-Queue: care}}'
    file.write_text(site.file.read_text().replace(release, refer).replace("sipbridge.db", "refer.db"))
    with running_bridge(file, file.with_suffix(".log"), {}) as bridge:
        done = Site(file, bridge, bridge.project("acme", "voice", site.project.key)).call("--contact-id", "test-refer")
    assert done.returncode == 0, done.stdout
    trunk = [text for who, text in steps(done.stdout) if who == "trunk"]
    assert trunk[-5:] == [
        "← REFER to sip:+15550199@127.0.0.1:5080, X-Queue care",
        "→ 202 Accepted",
        "→ NOTIFY 100 Trying",
        "→ NOTIFY 200 OK",
        "← BYE",
    ]
    assert ("bridge", "handoff_completed, confirmed") in steps(done.stdout)
    assert len(cxone.signals("test-refer")) == 1


def test_an_interrupted_call_is_hung_up(site: Site) -> None:
    # No handoff follows the digit, so that the call is in progress for long enough.
    options = "--digits", "7", "--handoff-seconds", "60"
    with Terminal(site.command("--contact-id", "test-interrupted", *options)) as person:
        site.project.live_call("test-interrupted")
        person.process.send_signal(signal.SIGINT)
        assert person.wait() == 1
    assert site.project.ended_call("test-interrupted", seconds=5)["ended_by"] == "caller"
