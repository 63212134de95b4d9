"""Hostile values in a caller's headers appear only where they belong, as text, and are never interpreted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.media_agent import MediaAgent
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.waiting import wait_for

from .site import Contact

NUMBER = "+19995550071"
SIP, WEBSOCKET, RELEASE = "sip", "websocket", "release"
MARK = "Injected"

HOSTILE = {
    "html": '"><script>alert(1)</script><img src=x onerror=alert(1)>',
    "sql": "'; DROP TABLE calls; --",
    "json": '","event":"stop","x":{"y":"z"}',
    "escaped line ends": "a%0d%0aX-Injected: 1\\r\\nX-Injected: 1",
    "template": "{contact_id} {data.x} {{ }} %s %n ${HOME}",
    "terminal": "\x1b[2J\x1b]0;X-Injected: 1\x07",
    "line ends of Unicode": "a\u2028X-Injected: 1\u2029b\u0085c",
    "url": "a?b=c&d=e#f/../../%2e%2e%00",
    "quotes": 'a"b\\"c\\\\',
    "long": "x" * 6_000,
}
# Tokens (RFC 3261, 25.1), with a folded value.
ODD_NAMES = dict.fromkeys(("X-Customer_Id", "X-Case.No", "X-A!b", "X-%*+`'~"), b"4\r\n\t2")
# Not UTF-8, and characters that SIP forbids in a value: such bytes may be replaced or dropped on their way.
UNCLEAN = {"no utf-8": b"\xff\xfe\xc0\xaf", "nul": b"a\x00X-Injected: 1", "surrogate": b"\xed\xa0\x80"}


@dataclass(frozen=True)
class HeaderSite:
    bridge: Bridge
    cxone: Simulator
    agent: MediaAgent
    folder: Path
    agent_port: int

    def call(self, project: str, contact: Contact, headers: dict[str, bytes], caller: bytes = b"+15550100") -> RawCall:
        own = {
            "X-Auth-Token": token(project).encode(),
            "X-InContact-ContactId": contact.id.encode(),
            "X-InContact-MasterId": contact.main_id.encode(),
        }
        lines = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in (own | headers).items())
        sender = b'From: "a" <sip:%s@127.0.0.1>;tag=a\r\n' % caller
        return RawCall(self.bridge.sip, NUMBER.encode(), sender + lines)

    def log_to_the_end_of(self, contact: Contact) -> str:
        """Wait until the end of a contact's call is in the log, and return the log to this line."""
        log = self.bridge.program.log

        def found() -> str | None:
            lines = log.read_text().splitlines(keepends=True)
            ends = (at for at, line in enumerate(lines) if contact.id in line and '"call_ended"' in line)
            return next(("".join(lines[: at + 1]) for at in ends), None)

        return wait_for(found, f"the end of the call of contact {contact.id} in {log}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[HeaderSite]:
    folder, port = tmp_path_factory.mktemp("hostile"), reserved_port()
    with MediaAgent() as agent:
        projects = {
            SIP: project_settings(SIP, agent={"type": "sip", "uri": f"sip:bot@127.0.0.1:{port}"}),
            WEBSOCKET: project_settings(WEBSOCKET, agent={"type": "websocket", "url": agent.url}),
            RELEASE: project_settings(RELEASE),
        }
        for project in projects.values():
            project["handoff"]["signal"] = {
                "p1": "{headers.X-Hostile}",
                "p2": "{caller}",
                "p3": "{main_contact_id}",
                "p4": "{data_json}",
                "p5": "{headers.X-Customer_Id}",
                "p6": "{headers.x-case.no}",
                "p9": "{pop_url}",
            }
        settings = bridge_settings(folder, {"hostile": client_settings(NUMBER, cxone.url, projects)})
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            yield HeaderSite(running, cxone, agent, folder, port)


def test_headers_of_any_allowed_name_go_to_a_websocket_agent(site: HeaderSite) -> None:
    with site.call(WEBSOCKET, Contact.new(), ODD_NAMES, b"+15550100;cpc=ordinary;oli=0").place() as call:
        assert call.status == 200
        agent = site.agent.next_call()
        ((_, start),) = agent.wait_for("start")
        parameters = start["start"]["customParameters"]
        assert {name: parameters.get(name) for name in ODD_NAMES} == dict.fromkeys(ODD_NAMES, "4 2")
        assert parameters["caller"] == "+15550100"
        agent.hang_up()


def test_headers_of_any_allowed_name_go_to_a_sip_agent(site: HeaderSite) -> None:
    with (
        Sipp("agent_hangs_up", site.folder, port=site.agent_port, options=call_options(hold_seconds=0.1)) as agent,
        site.call(SIP, Contact.new(), ODD_NAMES) as call,
    ):
        agent.await_port()
        assert call.place().status == 200
        (invite, *_) = agent.received("INVITE")
        assert {name: invite.header(name) for name in ODD_NAMES} == dict.fromkeys(ODD_NAMES, "4 2")


def test_headers_of_any_allowed_name_go_into_the_signal(site: HeaderSite) -> None:
    contact = Contact.new()
    with site.call(RELEASE, contact, ODD_NAMES).place() as call:
        assert call.status == 200
        (signal,) = site.cxone.signals(contact.id, wait_for=1)
        assert (signal["parameters"]["p5"], signal["parameters"]["p6"]) == ("4 2", "4 2")
        site.bridge.project("hostile", RELEASE, key(RELEASE)).ended_call(contact.id)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_websocket_agent_receives_a_hostile_header_as_text(site: HeaderSite, text: str) -> None:
    with site.call(WEBSOCKET, Contact.new(), {"X-Hostile": text.encode()}).place() as call:
        assert call.status == 200
        agent = site.agent.next_call()
        ((_, start),) = agent.wait_for("start")
        parameters = start["start"]["customParameters"]
        assert parameters["X-Hostile"] == text.strip()
        assert MARK not in " ".join(parameters.keys())
        agent.hang_up()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_sip_agent_receives_a_hostile_header_on_one_line_or_not_at_all(site: HeaderSite, text: str) -> None:
    with (
        Sipp("agent_hangs_up", site.folder, port=site.agent_port, options=call_options(hold_seconds=0.1)) as agent,
        site.call(SIP, Contact.new(), {"X-Hostile": text.encode()}) as call,
    ):
        agent.await_port()
        assert call.place().status == 200
        (invite, *_) = agent.received("INVITE")
        assert invite.header("X-Injected") == ""
        assert invite.header("X-Hostile") in {"", text.strip()}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_signal_and_record_contain_a_hostile_header_as_text(site: HeaderSite, text: str) -> None:
    contact = Contact.new()
    with site.call(RELEASE, contact, {"X-Hostile": text.encode()}).place() as call:
        assert call.status == 200
        (signal,) = site.cxone.signals(contact.id, wait_for=1)
        parameters = signal["parameters"]
        assert parameters["p1"].strip() == text.strip()
        assert parameters["p9"].startswith("http://")
        assert parameters["p3"] == contact.main_id
        record = site.bridge.project("hostile", RELEASE, key(RELEASE)).ended_call(contact.id)
        assert record["handoff"]["state"] == "handoff_completed"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_caller_address_is_shown_as_text_everywhere(site: HeaderSite, text: str) -> None:
    """In From the characters of a URI end it: the rest is the caller's address, in one piece, everywhere."""
    contact = Contact.new()
    user = "".join(f"%{byte:02x}" for byte in text.encode()).encode()
    with site.call(RELEASE, contact, {}, user).place() as call:
        assert call.status == 200
        (signal,) = site.cxone.signals(contact.id, wait_for=1)
        project = site.bridge.project("hostile", RELEASE, key(RELEASE))
        shown = project.handoff_state(contact.id).json()["data"]["caller_number"]
        assert signal["parameters"].get("p2", "").strip() == shown.strip()
        assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in shown)
        assert shown in text.replace("\x1b", "").replace("\x07", "").replace("\u0085", "")
        project.ended_call(contact.id)


def test_an_invalid_dtmf_digit_is_ignored_and_the_next_one_is_reported(site: HeaderSite) -> None:
    """Found by the fuzzer: a byte over 0x7f as the Signal of an INFO."""
    contact = Contact.new()
    with site.call(WEBSOCKET, contact, {}).place() as call:
        agent = site.agent.next_call()
        for digit in (b"\xff", b"Z", b"\x80", b"5"):
            call.send_digit(digit)
        wait_for(lambda: agent.digits() == "5", "the one valid digit")
        agent.hang_up()
    assert "internal_error" not in site.log_to_the_end_of(contact)


@pytest.mark.parametrize("value", UNCLEAN.values(), ids=UNCLEAN)
def test_bytes_that_are_not_text_have_no_effect(site: HeaderSite, value: bytes) -> None:
    contact = Contact.new()
    with site.call(RELEASE, contact, {"X-Hostile": value, "X-Other": b"as it was"}).place() as call:
        assert call.status in {0, 200}  # PJSIP drops what it cannot parse
        if call.status == 200:
            (signal,) = site.cxone.signals(contact.id, wait_for=1)
            assert MARK not in " ".join(signal["parameters"].keys())
            site.bridge.project("hostile", RELEASE, key(RELEASE)).ended_call(contact.id)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    ("header", "status"), [("X-InContact-ContactId", {400}), ("X-Auth-Token", {403, 400})], ids=["contact id", "token"]
)
def test_an_invite_with_a_hostile_id_or_token_is_rejected(
    site: HeaderSite, header: str, status: set[int], text: str
) -> None:
    with site.call(RELEASE, Contact.new(), {header: text.encode()}).place() as call:
        assert call.status in status
        assert text.encode() not in call.answer


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_main_contact_id_is_ignored(site: HeaderSite, text: str) -> None:
    contact = Contact.new()
    with site.call(RELEASE, contact, {"X-InContact-MasterId": text.encode()}).place() as call:
        assert call.status == 200
        (signal,) = site.cxone.signals(contact.id, wait_for=1)
        assert signal["parameters"]["p3"] == contact.id
        site.bridge.project("hostile", RELEASE, key(RELEASE)).ended_call(contact.id)


def test_a_hostile_number_belongs_to_no_client(site: HeaderSite) -> None:
    for text in HOSTILE.values():
        number = "".join(f"%{byte:02x}" for byte in text.encode()).encode()
        with RawCall(site.bridge.sip, number, b"From: <sip:a@127.0.0.1>;tag=a\r\n") as call:
            assert call.place().status == 404


def test_hostile_values_forge_no_log_line_and_no_metric(site: HeaderSite) -> None:
    for text in HOSTILE.values():
        contact = Contact.new()
        with site.call(RELEASE, contact, {"X-Hostile": text.encode()}).place() as call:
            assert call.status == 200
            site.bridge.project("hostile", RELEASE, key(RELEASE)).ended_call(contact.id)
    log = site.log_to_the_end_of(contact)
    assert "internal_error" not in log
    assert "\x1b" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert all("time" in line and "level" in line for line in lines)
    assert not any(MARK in name for line in lines for name in line)
    # The parser of metrics raises on a malformed line.
    assert site.bridge.metrics().value("sipbridge_invites_total", code="200") > 0
