"""The gate's decisions. An exception out of a method that C++ calls would end the process, with all calls."""

from __future__ import annotations

from typing import NoReturn

import pytest

from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.readiness import Readiness
from sipbridge.dns import Peer
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.gate import Gate
from tests.calls.world import NUMBER, TOKEN, admission_of, make_config
from tests.fakes import FakeBackpressure
from tests.fakes.pjsip import FakeRequest

STRANGER = "192.0.2.1"
OFFER = b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n"
OTHER_OFFER = b"v=0\r\nm=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"


def fail(*_: object) -> NoReturn:
    raise TypeError("a fault of ours")


def invite(body: bytes = OFFER, *headers: str) -> bytes:
    lines = [
        f"INVITE sip:{NUMBER}@bridge SIP/2.0",
        "From: <sip:+15550100@trunk>;tag=1",
        f"To: <sip:{NUMBER}@bridge>",
        "Call-ID: id@trunk",
        "CSeq: 1 INVITE",
        f"X-Auth-Token: {TOKEN}",
        "X-InContact-ContactId: 123456789",
        "Contact: <sip:trunk.example:5060>",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def options(*headers: str) -> bytes:
    return "\r\n".join(["OPTIONS sip:bridge SIP/2.0", "CSeq: 1 OPTIONS", *headers, "", ""]).encode()


class World:
    """A gate with an admission that admits the calls of one project."""

    def __init__(self) -> None:
        self.admission = admission_of(make_config())
        self.readiness = Readiness(self.admission)
        self.load = FakeBackpressure()
        self.dialogs = DialogTable()
        self.rejections: list[InviteAnswered] = []
        self.names: list[tuple[str, Peer]] = []
        self.gate = Gate(
            self.admission,
            self.load,
            self.readiness,
            ("PCMU",),
            self.rejections.append,
            self.dialogs,
            lambda name, peer: self.names.append((name, peer)),
        )

    def reasons(self) -> list[tuple[int, str]]:
        return [(event.sip_status, event.reason) for event in self.rejections]


@pytest.fixture
def world() -> World:
    return World()


def test_an_admitted_invite_is_claimed_once_by_its_ticket(world: World) -> None:
    request = FakeRequest(invite(), ticket=3)
    world.gate.onRequest(request)
    assert request.status == 0
    admitted = world.gate.claim(3)
    assert admitted is not None
    assert admitted.invite.sip_call_id == "id@trunk"
    assert world.gate.claim(3) is None
    assert world.admission.active == 1
    assert [name for name, _ in world.names] == ["trunk.example"]


def test_an_invite_of_a_stranger_is_rejected_without_a_transaction(world: World) -> None:
    request = FakeRequest(invite(), STRANGER)
    world.gate.onRequest(request)
    assert (request.status, request.stateless) == (403, True)
    assert [status for status, _ in world.reasons()] == [403]
    assert world.names == []


def test_an_invite_that_exceeds_the_resources_is_rejected_with_retry_after(world: World) -> None:
    world.load.missing = "no two ports"
    request = FakeRequest(invite())
    world.gate.onRequest(request)
    assert (request.status, request.stateless) == (503, False)
    assert request.headers == {"Retry-After": "5"}
    assert world.reasons() == [(503, "capacity")]


def test_an_unreadable_invite_is_rejected_with_the_fault_that_was_found(world: World) -> None:
    request = FakeRequest(invite(), fault=400)
    world.gate.onRequest(request)
    assert request.status == 400
    assert request.headers["Warning"] == '399 sipbridge "unreadable header"'
    assert world.reasons() == [(400, "malformed")]


@pytest.mark.parametrize(
    ("sip_status", "body", "reason"),
    [
        (400, OFFER, "malformed"),
        (420, OFFER, "extension"),
        (422, OFFER, "session_timer"),
        (488, OTHER_OFFER, "no_codec"),
        (488, OFFER, "srtp_mismatch"),
        (500, OFFER, "internal_error"),
    ],
)
def test_an_invite_that_pjsua_rejects_is_released_and_reported(
    world: World, sip_status: int, body: bytes, reason: str
) -> None:
    world.gate.onRequest(FakeRequest(invite(body), ticket=3))
    for _ in range(2):
        world.gate.rejected_by_pjsua(3, sip_status)
    assert world.admission.active == 0
    assert world.reasons() == [(sip_status, reason)]
    assert (world.rejections[0].client, world.rejections[0].project) == ("acme", "billing")


def test_an_invite_that_pjsua_drops_is_released_after_the_turn(world: World) -> None:
    world.gate.onRequest(FakeRequest(invite(), ticket=3))
    world.gate.release_unclaimed()
    assert (world.admission.active, world.reasons()) == (0, [(500, "internal_error")])
    assert world.gate.claim(3) is None


def test_options_gets_the_response_that_an_invite_would_get(world: World) -> None:
    request = FakeRequest(options())
    world.gate.onRequest(request)
    assert (request.status, request.headers) == (503, {"Retry-After": "5"})
    world.readiness.turned(None)
    request = FakeRequest(options())
    world.gate.onRequest(request)
    assert request.status == 0


def test_options_that_requires_an_unsupported_extension_gets_420(world: World) -> None:
    request = FakeRequest(options("Require: 100rel, foo, bar"))
    world.gate.onRequest(request)
    assert (request.status, request.headers) == (420, {"Unsupported": "bar, foo"})


def test_malformed_options_gets_400_with_a_warning(world: World) -> None:
    request = FakeRequest(b"OPTIONS sip:bridge SIP/2.0\r\nContent-Length: many\r\n\r\n")
    world.gate.onRequest(request)
    assert request.status == 400
    assert "Content-Length" in request.headers["Warning"]


def test_other_requests_of_a_stranger_are_rejected_without_a_transaction(world: World) -> None:
    request = FakeRequest(options(), STRANGER)
    world.gate.onRequest(request)
    assert (request.status, request.stateless) == (403, True)


def test_an_unreadable_request_gets_its_status_and_a_warning(world: World) -> None:
    request = FakeRequest(options(), fault=505)
    world.gate.onRequest(request)
    assert (request.status, request.headers) == (505, {"Warning": '399 sipbridge "unreadable header"'})


def test_a_method_that_is_not_served_gets_its_status(world: World) -> None:
    request = FakeRequest(b"REGISTER sip:bridge SIP/2.0\r\n\r\n")
    request.method_fault = 405
    world.gate.onRequest(request)
    assert request.status == 405


def test_a_source_is_trusted_as_admission_decides(world: World) -> None:
    assert world.gate.onConnection("127.0.0.1")
    assert not world.gate.onConnection(STRANGER)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Gate:
    admission = admission_of(make_config())
    dialogs = DialogTable()
    for target, name in (
        (admission, "trusts"),
        (admission, "admit"),
        (dialogs, "decide_refer"),
        (dialogs, "holds_bye"),
    ):
        monkeypatch.setattr(target, name, fail)
    return Gate(admission, FakeBackpressure(), Readiness(admission), ("PCMU",), fail, dialogs, fail)


def test_no_exception_leaves_the_gate(broken: Gate, caplog: pytest.LogCaptureFixture) -> None:
    assert not broken.onConnection("127.0.0.1")
    assert not broken.onBye(1, 1)
    for message in (invite(), options()):
        request = FakeRequest(message)
        broken.onRequest(request)
        assert request.status == 500
    request = FakeRequest(b"REFER sip:bridge SIP/2.0\r\n\r\n")
    broken.onRefer(1, request)
    assert request.status == 500
    assert [getattr(record, "event", "") for record in caplog.records] == ["internal_error"] * 5
