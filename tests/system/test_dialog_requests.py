"""Requests within a call, and the headers that all responses share."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.sip.raw_call import OFFER, RawCall

from .contact_call import CALLER, ContactCall
from .site import NUMBERS, Site

NO_CODEC = OFFER.replace(b"AVP 0 101", b"AVP 18 101") + b"a=rtpmap:18 G729/8000\r\n"
UNKNOWN_HOST = OFFER.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 sbc.invalid")
NO_SDP = b"v=0\r\nno SDP\r\n"
SERVED = ("Allow", "Supported", "Accept", "Allow-Events")


@dataclass(frozen=True)
class Case:
    """A request, the status of its response and a header that the response has."""

    method: bytes
    status: int
    header: str = ""
    headers: bytes = b""
    body: bytes = b""
    kind: bytes = b"application/sdp"


CASES = {
    "a re-INVITE with no codec in common": Case(b"INVITE", 488, body=NO_CODEC),
    "an UPDATE with no codec in common": Case(b"UPDATE", 488, body=NO_CODEC),
    "a re-INVITE with malformed SDP": Case(b"INVITE", 488, body=NO_SDP),
    "an UPDATE with malformed SDP": Case(b"UPDATE", 488, body=NO_SDP),
    "a re-INVITE with an unknown host": Case(b"INVITE", 488, body=UNKNOWN_HOST),
    "an UPDATE with an unknown host": Case(b"UPDATE", 488, body=UNKNOWN_HOST),
    "a re-INVITE with an invalid address": Case(
        b"INVITE", 488, body=UNKNOWN_HOST.replace(b"sbc.invalid", b"999.1.1.1")
    ),
    "a re-INVITE whose body is not SDP": Case(b"INVITE", 415, "Accept", body=b"x", kind=b"text/plain"),
    "an UPDATE whose body is not SDP": Case(b"UPDATE", 415, "Accept", body=b"x", kind=b"text/plain"),
    "an UPDATE without an offer": Case(b"UPDATE", 200, "Allow"),
    "OPTIONS": Case(b"OPTIONS", 200, "Allow"),
    "MESSAGE": Case(b"MESSAGE", 405, "Allow", body=b"hello", kind=b"text/plain"),
    "PUBLISH": Case(b"PUBLISH", 405, "Allow", headers=b"Event: presence\r\n"),
    "REGISTER": Case(b"REGISTER", 405, "Allow"),
    "an unknown method": Case(b"DANCE", 501, "Allow"),
    "a method in lower case": Case(b"invite", 501, "Allow", body=OFFER),
    "a method in mixed case": Case(b"Bye", 501, "Allow"),
    "an ACK in lower case": Case(b"ack", 501, "Allow"),
    "an unknown event": Case(b"NOTIFY", 489, "Allow-Events", b"Event: dance\r\nSubscription-State: active\r\n"),
    "an event in the compact form": Case(b"NOTIFY", 489, "Allow-Events", b"o: presence\r\n"),
    "no event": Case(b"NOTIFY", 489, "Allow-Events"),
    "a NOTIFY without a REFER": Case(b"NOTIFY", 481, "", b"Event: refer\r\nSubscription-State: active\r\n"),
    "a subscription": Case(b"SUBSCRIBE", 489, "Allow-Events", b"Event: dialog\r\n"),
    "a SUBSCRIBE without a REFER": Case(b"SUBSCRIBE", 403, "", b"Event: refer\r\n"),
    "a REFER on the trunk": Case(b"REFER", 403, "", b"Refer-To: <sip:sales@127.0.0.1>\r\n"),
    "a PRACK without a provisional response": Case(b"PRACK", 481, "", b"RAck: 1 1 INVITE\r\n"),
    "an unknown INFO package": Case(b"INFO", 469, "Recv-Info", b"Info-Package: dance\r\n"),
    "an unknown extension": Case(b"OPTIONS", 420, "Unsupported", b"Require: timer, dance\r\n"),
    "a re-INVITE that requires one": Case(b"INVITE", 420, "Unsupported", b"Require: dance\r\n", OFFER),
    "an UPDATE that requires one": Case(b"UPDATE", 420, "Unsupported", b"Require: dance\r\n"),
}


@pytest.fixture
def call(trunk: Site) -> Iterator[ContactCall]:
    with ContactCall(trunk, "lasting") as call:
        call.place()
        yield call
        call.end()


def test_each_request_in_a_call_gets_the_response_of_its_rfc_and_the_call_goes_on(call: ContactCall) -> None:
    check_all_cases(call)


def test_each_request_on_an_agents_leg_gets_the_response_of_its_rfc_and_the_call_goes_on(trunk: Site) -> None:
    count = trunk.count()
    with ContactCall(trunk, "desk") as call, RawCall(trunk.bridge.sip, port=trunk.desk_port) as desk:
        call.place()
        desk.accept_invite()
        assert count.grows_by(1, "sipbridge_transfers_total", method="invite", result="success")
        check_all_cases(desk)
        desk.end()
        call.answer_bye()
    assert call.record()["handoff"]["transfer"] == "invite_answered"


def check_all_cases(call: RawCall) -> None:
    got, expected = {}, {}
    for name, case in CASES.items():
        response = call.request(case.method, case.body, case.kind, case.headers)
        has = not case.header or header(response, case.header) is not None
        got[name], expected[name] = (status(response), has), (case.status, True)
    assert got == expected
    assert status(call.request(b"INVITE", OFFER)) == 200


def test_a_rejected_re_invite_leaves_the_audio_unchanged(trunk: Site) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as audio, ContactCall(trunk, "lasting") as call:
        audio.bind(("127.0.0.1", 0))
        audio.settimeout(5)
        port = b"audio %d " % audio.getsockname()[1]
        call.place(OFFER.replace(b"audio 9 ", port))
        audio.recv(2048)
        for method in (b"INVITE", b"UPDATE"):
            assert status(call.request(method, NO_CODEC.replace(b"audio 9 ", port))) == 488
        discard(audio)
        for _ in range(10):
            assert audio.recv(2048)[1] & 0x7F == 0  # mu-law still
        call.end()
    assert call.record()["reason"] == "caller_hung_up"


def test_requests_after_the_bye_get_481(trunk: Site) -> None:
    with ContactCall(trunk, "lasting") as call:
        call.place()
        call.end()
        methods = (b"OPTIONS", b"INFO", b"INVITE", b"UPDATE", b"MESSAGE", b"DANCE", b"NOTIFY", b"REFER")
        assert {method: status(call.request(method)) for method in methods} == dict.fromkeys(methods, 481)


OUTSIDE = {
    "in dialogs only": (481, None, (b"BYE", b"INFO", b"UPDATE", b"PRACK", b"REFER", b"NOTIFY")),
    "not supported": (405, "Allow", (b"MESSAGE", b"REGISTER", b"PUBLISH")),
    "without an event": (489, "Allow-Events", (b"SUBSCRIBE",)),
    "unknown": (501, "Allow", (b"DANCE", b"options", b"Invite", b"bye", b"cancel", b"ack", b"message")),
}


@pytest.mark.parametrize(("code", "has", "methods"), OUTSIDE.values(), ids=OUTSIDE)
def test_each_method_outside_a_call_gets_the_response_of_its_rfc(
    trunk: Site, code: int, has: str | None, methods: tuple[bytes, ...]
) -> None:
    got = {}
    for method in methods:
        with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), CALLER) as outside:
            # The harness accepts a response whose CSeq has the method as sent.
            response = outside.request(method)
        got[method] = status(response), has is None or header(response, has) is not None
        assert has == "Allow" or header(response, "Allow") is None
    assert got == dict.fromkeys(methods, (code, True))


def test_a_warning_of_pjsip_names_sipbridge_and_not_the_host(trunk: Site) -> None:
    with ContactCall(trunk, "lasting") as call:
        assert call.place(NO_SDP).status == 400
    assert (header(call.answer, "Warning") or "").startswith("399 sipbridge ")


def test_allow_and_supported_are_the_same_in_every_response(trunk: Site, call: ContactCall) -> None:
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), CALLER) as outside:
        for method in (b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"DANCE"):
            outside.request(method)
    for case in CASES.values():
        call.request(case.method, case.body, case.kind, case.headers)
    said: dict[str, set[str]] = {name: set() for name in SERVED}
    for response in call.received + outside.received:
        for name in SERVED:
            if (value := header(response, name)) is not None:
                said[name].add(value)
    assert {name: len(values) for name, values in said.items()} == dict.fromkeys(SERVED, 1)
    assert set(said["Allow"].pop().split(", ")) == {
        *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "NOTIFY", "REFER")
    }
    assert said["Supported"] == {"100rel, timer, norefersub"}
    assert said["Allow-Events"] == {"refer"}


FROMS = {
    "a quoted name with escapes": b'"A \\"B\\" \\\\ %41" <sip:%2B1555@127.0.0.1>;tag=caller',
    "an unquoted name": b"Tom  Brown-1.2 <sip:tom@127.0.0.1>;tag=caller",
    "a name with semicolons and brackets": b'"<sip:x@y>;tag=z" <sip:tom@127.0.0.1>;tag=caller',
    "an address without brackets": b"sip:tom@127.0.0.1;tag=caller;x=y",
    "parameters in an unusual order": b'<sip:t%6Fm:p@127.0.0.1;b=2;user=phone;a=%41?X=1>;z="q;q" ;tag=caller;a',
    "a number": b"<tel:+1-555-0100;ext=5>;tag=caller",
    "spaces": b"<sip:tom@127.0.0.1>   ;  tag = caller",
    "non-ASCII letters": '"Zoë" <sip:tom@127.0.0.1>;tag=caller'.encode(),
}


@pytest.mark.parametrize("written", FROMS.values(), ids=FROMS)
@pytest.mark.parametrize("name", [b"From", b"f", b"FROM "])
def test_a_response_copies_from_and_to_of_the_request(trunk: Site, written: bytes, name: bytes) -> None:
    to = written.replace(b"tag", b"tog")
    named_to = {b"From": b"To", b"f": b"t"}.get(name, b"TO ")
    lines = named_to + b": " + to + b"\r\n"
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), name + b": " + written + b"\r\n", to=lines) as call:
        assert call.place().status == 403  # no token
        for method in (b"OPTIONS", b"MESSAGE"):
            call.request(method)
    assert len(call.received) >= 3
    for response in call.received:
        assert header(response, "From") == written.decode()
        assert re.sub(";tag=[^;]*$", "", header(response, "To") or "") == to.decode()


def test_from_and_to_stay_the_same_throughout_a_call(trunk: Site) -> None:
    written = FROMS["a quoted name with escapes"]
    with ContactCall(trunk, "lasting", b"From: " + written.replace(b" <", b"\r\n\t <") + b"\r\n") as call:
        call.place()
        for case in CASES.values():
            call.request(case.method, case.body, case.kind, case.headers)
        call.end()
        call.request(b"OPTIONS")
    tos = {header(response, "To") for response in call.received if b" 100 " not in response.split(b"\r\n")[0]}
    assert {header(response, "From") for response in call.received} == {written.decode()}
    assert len(tos) == 1


def status(response: bytes) -> int:
    return int(response.split()[1])


def header(message: bytes, name: str) -> str | None:
    found = re.search(rf"^{name}: *(.*?)\r$", message.decode(), re.MULTILINE)
    return found[1] if found else None


def discard(audio: socket.socket) -> None:
    audio.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
    try:
        while audio.recv(2048):
            pass
    except BlockingIOError:
        audio.settimeout(5)
