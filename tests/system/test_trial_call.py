"""`sipbridge call` through a running bridge, whose configuration `sipbridge init` wrote."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, running_bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.terminal import Terminal

from .first_site import FirstSite, first_site

STEP = re.compile(r"^ +\d+\.\d{3}  (\w+) +(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[FirstSite]:
    with first_site(tmp_path_factory.mktemp("trial"), cxone) as running:
        yield running


def steps(output: str) -> list[tuple[str, str]]:
    return STEP.findall(output)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_test_call_is_handed_off_and_prints_the_view_of_each_program(
    site: FirstSite, cxone: Simulator, transport: str
) -> None:
    address = site.bridge.sip if transport == "udp" else site.bridge.sip_tcp
    contact = f"test-of-{transport}"
    done = site.run("call", "--contact-id", contact, "--sip", f"{transport}://{address}")
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


def test_without_digits_the_caller_hangs_up_and_hears_the_echo(site: FirstSite, cxone: Simulator) -> None:
    done = site.run("call", "--digits", "", "--contact-id", "test-no-digits")
    assert done.returncode == 0, done.stdout
    assert ("trunk", "→ BYE") in steps(done.stdout)
    (voiced,) = re.findall(r"([\d.]+) s of them are not silent", done.stdout)
    assert float(voiced) > 1.5  # 1.2 s of greeting, and the echo
    call = site.project.ended_call("test-no-digits")
    assert (call["ended_by"], call["handoff"]) == ("caller", None)
    assert cxone.signals("test-no-digits") == []


def test_a_wrong_token_is_rejected_and_the_call_says_where_the_reason_is(site: FirstSite) -> None:
    done = site.run("call", "--token", "wrong")
    assert done.returncode == 1
    assert "Fault: the bridge rejects the call with 403 Forbidden" in done.stdout
    assert not [text for _, text in steps(done.stdout) if "ACK" in text]


def test_digits_that_the_agent_does_not_know_are_a_fault(site: FirstSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPBRIDGE_API_KEY", site.project.key)
    done = site.run("call", "--digits", "7", "--handoff-seconds", "1")
    assert done.returncode == 1
    assert "Fault: no handoff followed the DTMF digits 7" in done.stdout


def test_a_bridge_that_does_not_run_is_a_fault(site: FirstSite) -> None:
    done = site.run("call", "--sip", f"udp://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "Connection refused; is the bridge running" in done.stdout
    done = site.run("call", "--api", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "the HTTP API is not reached" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_key_is_named(site: FirstSite) -> None:
    done = site.run("call", "--key", "wrong")
    assert done.returncode == 1
    assert "the HTTP API refuses the key with 401" in done.stderr


def test_a_file_with_hashes_needs_the_token(site: FirstSite, tmp_path: Path) -> None:
    secrets = site.file.parent / "secrets"
    text = site.file.read_text().replace("file:secrets", f"file:{secrets}")
    hashed = subprocess.run(  # noqa: S603 (our own)
        [SIPBRIDGE, "hash-token", "-"], input="some-other-long-token", capture_output=True, text=True, check=True
    ).stdout.strip()
    file = tmp_path / "hashed.yaml"
    file.write_text(text.replace(f"file:{secrets}/acme_voice_token", hashed))
    done = FirstSite(file, site.bridge, site.project).run("call")
    assert done.returncode == 1
    assert "has only the hash of the token of project voice; give it with --token -" in done.stderr


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colour_unless_it_wants_none(
    site: FirstSite, no_color: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal(site.command("call", "--digits", "")) as person:
        assert person.wait() == 0, person.text
    assert ("\033[32m" in person.text) is not bool(no_color)
    assert "speaking …" in person.text
    assert "\033[" not in site.run("call", "--token", "wrong").stdout


def test_a_handoff_by_refer_over_tls_is_accepted_as_cxone_does(
    site: FirstSite, cxone: Simulator, tmp_path: Path
) -> None:
    file = site.file.with_name("refer.yaml")
    text = site.file.read_text().replace("sipbridge.db", "refer.db")
    refer = 'care: {skill: "10000002", method: refer, uri: "sip:+15550199@127.0.0.1:5080", headers: {X-Queue: care}}'
    pair = Authority(tmp_path).issue("bridge", "bridge.test")
    tls = f"tls: {{certificate_file: {pair.certificate}, private_key_file: {pair.key}}}"
    for old, new in (
        (r"listen: \[.*\]", f'listen: ["tls://127.0.0.1:0"]\n  {tls}'),
        (r'listen: "127.*"', 'listen: "127.0.0.1:0"'),
        (r"care: {.*method: release}", refer),
    ):
        text, count = re.subn(old, new, text)
        assert count == 1
    file.write_text(text)
    with running_bridge(file, file.with_suffix(".log"), {}) as bridge:
        refers = FirstSite(file, bridge, bridge.project("acme", "voice", site.project.key))
        addresses = ("--sip", f"tls://{bridge.sip_tls}", "--api", bridge.http)
        done = refers.run("call", "--contact-id", "test-refer", *addresses)
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


def test_an_interrupted_call_is_hung_up(site: FirstSite) -> None:
    # No handoff follows the digit, so that the call is in progress for long enough.
    options = "--digits", "7", "--handoff-seconds", "60"
    with Terminal(site.command("call", "--contact-id", "test-interrupted", *options)) as person:
        site.project.live_call("test-interrupted")
        person.process.send_signal(signal.SIGINT)
        assert person.wait() == 1
    assert site.project.ended_call("test-interrupted", seconds=5)["ended_by"] == "caller"
