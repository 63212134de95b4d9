"""SRTP on the trunk: what is negotiated, and the audio of calls that use it."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from tests.harness.media.quality import Quality, measure_stream
from tests.harness.media.sdp import kinds
from tests.harness.media.srtp import SUITE, Key
from tests.harness.media.stamp import ReceivedFrame, Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.sip.sip_messages import Message
from tests.harness.sip.tls_caller import SipConnection, offer
from tests.harness.waiting import wait_for

from .secure_site import SecureCall, SecureSite, secure_site

PLAIN, SECURE = "RTP/AVP", "RTP/SAVP"
# The same in each process: pytest's workers compare the names of the tests.
KEY = Key(bytes(range(30)))
GOOD = (KEY.attribute(),)
# AES-128 with a short tag, and an unknown suite.
BAD = (KEY.attribute(suite="AES_CM_128_HMAC_SHA1_32"), KEY.attribute(2, "F8_128_HMAC_SHA1_80"))
# Lines of a supported suite with unsupported parameters (RFC 4568, 6.1 and 6.3).
MKI, SHORT_LIVED, CLEAR = (KEY.attribute() + more for more in ("|2^31|1:4", "|2^10", " UNENCRYPTED_SRTP"))
NOWHERE = 9
FRAMES = 25
TRIES = 5
ARRIVAL_NS = 300_000_000


class Receiver(Protocol):
    def stamps(self) -> list[ReceivedFrame]: ...


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[dict[str, SecureSite]]:
    """A bridge for each value of the `srtp` setting."""
    folders = {use: tmp_path_factory.mktemp(use) for use in ("disabled", "optional", "mandatory")}
    with (
        secure_site(folders["disabled"], cxone, srtp="disabled") as disabled,
        secure_site(folders["optional"], cxone, srtp="optional") as optional,
        secure_site(folders["mandatory"], cxone, srtp="mandatory") as mandatory,
    ):
        yield {"disabled": disabled, "optional": optional, "mandatory": mandatory}


@pytest.fixture
def mandatory(sites: dict[str, SecureSite]) -> SecureSite:
    return sites["mandatory"]


def answer_to(site: SecureSite, sdp: str) -> Message:
    """Send an offer; the call ends with the block."""
    with site.connect() as connection:
        answer, contact_id = site.invite(connection, sdp)
        if answer.status == 200:
            site.agent.next_call()
            connection.bye()
            site.project.ended_call(contact_id)
    return answer


@pytest.mark.parametrize(
    ("use", "profile", "crypto", "agreed"),
    [
        ("disabled", PLAIN, (), "plain"),
        ("disabled", PLAIN, GOOD, "plain"),
        ("disabled", SECURE, GOOD, None),
        ("optional", PLAIN, (), "plain"),
        ("optional", PLAIN, GOOD, "secure"),
        ("optional", PLAIN, BAD, "plain"),
        ("optional", SECURE, GOOD, "secure"),
        ("optional", SECURE, (*BAD, KEY.attribute(3)), "secure"),
        ("optional", SECURE, BAD, None),
        ("optional", PLAIN, (MKI,), "plain"),
        ("optional", PLAIN, (CLEAR, KEY.attribute(2)), "secure"),
        ("optional", SECURE, (MKI,), None),
        ("optional", SECURE, (), None),
        ("mandatory", PLAIN, (), None),
        ("mandatory", PLAIN, GOOD, None),
        ("mandatory", SECURE, GOOD, "secure"),
        ("mandatory", SECURE, BAD, None),
        ("mandatory", SECURE, (SHORT_LIVED,), None),
        ("mandatory", SECURE, (CLEAR,), None),
        ("mandatory", SECURE, (KEY.attribute() + "|2^31", KEY.attribute(2)), "secure"),
        ("mandatory", SECURE, (), None),
        ("mandatory", "RTP/SAVPF", GOOD, "secure"),
        ("mandatory", "UDP/TLS/RTP/SAVP", (), None),
    ],
)
def test_an_offer_is_answered_in_kind_or_rejected(
    sites: dict[str, SecureSite], use: str, profile: str, crypto: tuple[str, ...], agreed: str | None
) -> None:
    answer = answer_to(sites[use], offer(NOWHERE, profile, crypto))
    if agreed is None:
        assert answer.status == 488
        return
    assert answer.status == 200
    assert f" {profile} " in answer.body
    assert answer.body.count("a=crypto:") == (agreed == "secure")


def test_each_call_has_a_key_of_its_own(mandatory: SecureSite) -> None:
    answers = [answer_to(mandatory, offer(NOWHERE, SECURE, GOOD)).body for _ in range(2)]
    assert len({KEY.secret, *(Key.of(body).secret for body in answers)}) == 3


def test_a_call_without_an_offer_gets_an_srtp_offer(mandatory: SecureSite) -> None:
    with mandatory.connect() as connection:
        answer, contact_id = mandatory.invite(connection, "", late=offer(NOWHERE, SECURE, GOOD))
        assert answer.status == 200
        assert f" {SECURE} " in answer.body
        assert f"a=crypto:1 {SUITE} " in answer.body
        mandatory.agent.next_call()
        mandatory.project.request(f"calls/{mandatory.project.live_call(contact_id)}/hangup", "POST")
        mandatory.project.ended_call(contact_id)


@pytest.mark.parametrize("key", [*GOOD, MKI, CLEAR, KEY.attribute(7)])
def test_an_unusable_answer_in_the_ack_ends_the_call(mandatory: SecureSite, key: str) -> None:
    with mandatory.connect() as connection:
        _, contact_id = mandatory.invite(connection, "", late=offer(NOWHERE, SECURE, (key,)))
        if key in GOOD:
            mandatory.agent.next_call()
            connection.bye()
        else:
            connection.answer("BYE")
        mandatory.project.ended_call(contact_id)


def test_an_agent_with_an_unusable_answer_is_not_reached(tmp_path: Path, cxone: Simulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        server.settimeout(10)
        uri = f"sip:agent@127.0.0.1:{server.getsockname()[1]};transport=tcp;srtp=optional"
        with secure_site(tmp_path, cxone, srtp="disabled", agent_uri=uri) as site, site.connect() as caller:
            placing = threads.submit(site.invite, caller, offer(NOWHERE))
            connected, _ = server.accept()
            with SipConnection(connected) as agent:
                invite = agent.receive()
                assert f" {PLAIN} " in invite.body
                answer = {"To": f"{invite.header('To')};tag=agent", "Contact": "<sip:agent@192.0.2.1>"}
                agent.respond(invite, {**answer, "Content-Type": "application/sdp"}, offer(NOWHERE, PLAIN, (MKI,)))
                agent.answer("BYE")
            assert placing.result()[0].status == 480


# ---------------------------------------------------------------- audio


def assert_whole_both_ways(call: SecureCall) -> None:
    """Send audio from both ends at once; try again if the machine was late."""
    for _ in range(TRIES):
        to_agent, to_caller = Stamps(1), Stamps(2)
        call.caller.send_frames(itertools.islice(to_agent, FRAMES))
        call.agent.send_frames(itertools.islice(to_caller, FRAMES))
        directions = measure(to_agent, call.agent), measure(to_caller, call.caller)
        if all(direction.is_whole for direction in directions):
            return
    pytest.fail(f"audio was incomplete {TRIES} times; the last time, to agent and caller: {directions}")


def measure(stamps: Stamps, receiver: Receiver) -> Quality:
    def all_is_sent() -> bool:
        return len(stamps.sent) == FRAMES and time.time_ns() - stamps.sent[-1] > ARRIVAL_NS

    wait_for(all_is_sent, "the last frame to be sent and received")
    this_time = set(stamps.sent)
    return measure_stream(stamps.sent, (each for each in receiver.stamps() if each.stamp.sent_ns in this_time))


@pytest.mark.parametrize(("use", "profile"), [("mandatory", SECURE), ("optional", SECURE), ("optional", PLAIN)])
def test_audio_arrives_complete_in_both_directions(sites: dict[str, SecureSite], use: str, profile: str) -> None:
    with sites[use].call(profile) as call:
        assert_whole_both_ways(call)
        assert call.srtp.refused == 0


@pytest.mark.parametrize("other", [MKI, SHORT_LIVED, CLEAR])
def test_audio_is_encrypted_with_the_first_supported_key(mandatory: SecureSite, other: str) -> None:
    with mandatory.call(others=(other.replace("1 ", "2 ", 1),)) as call:
        assert_whole_both_ways(call)
        assert call.srtp.refused == 0


def test_audio_that_was_turned_off_resumes_with_its_key(mandatory: SecureSite) -> None:
    own = Key()
    with mandatory.call() as call:
        off = call.sip.reinvite(offer(0, SECURE))
        assert (off.status, kinds(off.body)) == (200, ["-audio"])
        back = call.sip.reinvite(offer(call.port, SECURE, (own.attribute(),)))
        call.srtp.use(own, Key.of(back.body))
        assert_whole_both_ways(call)


def test_a_caller_with_authenticated_packets_may_send_from_another_address(mandatory: SecureSite) -> None:
    with mandatory.call() as call, mandatory.rtp.port(srtp=call.srtp) as elsewhere:
        assert_whole_both_ways(call)
        call.caller.muted = True
        assert_whole_both_ways(replace(call, caller=elsewhere.call(call.caller.remote)))


def test_dtmf_digits_from_the_caller_reach_the_agent_once_each(mandatory: SecureSite) -> None:
    with mandatory.call() as call:
        call.caller.send_digits("15#")
        wait_for(lambda: call.agent.digits() == "15#", "the DTMF digits")
        assert_whole_both_ways(call)
        assert call.agent.digits() == "15#"


def test_audio_goes_on_after_a_hold(mandatory: SecureSite) -> None:
    own = Key()
    with mandatory.call() as call:
        held = call.sip.reinvite(offer(call.port, SECURE, (own.attribute(),), "sendonly"))
        assert "a=recvonly" in held.body
        call.srtp.use(own, Key.of(held.body))
        back = call.sip.reinvite(offer(call.port, SECURE, (own.attribute(),)))
        assert "a=sendrecv" in back.body
        assert_whole_both_ways(call)


def test_audio_goes_on_with_a_new_key_and_the_old_one_is_rejected(mandatory: SecureSite) -> None:
    own, old = Key(), Key()
    with mandatory.call() as call:
        assert_whole_both_ways(call)
        answer = call.sip.reinvite(offer(call.port, SECURE, (own.attribute(),)))
        call.srtp.use(own, Key.of(answer.body))
        assert_whole_both_ways(call)
        call.srtp.use(old, Key.of(answer.body))
        received = len(call.agent.stamps())
        call.caller.send_frames(itertools.islice(Stamps(3), FRAMES))
        wait_for(lambda: call.caller.has_sent_all, "the caller's last frame")
        assert len(call.agent.stamps()) == received
        call.srtp.use(own, Key.of(answer.body))


def test_a_re_invite_cannot_take_an_srtp_call_to_plain_rtp(mandatory: SecureSite) -> None:
    with mandatory.call() as call:
        assert call.sip.reinvite(offer(call.port)).status == 488
        assert_whole_both_ways(call)


def test_an_options_within_the_call_gets_200(mandatory: SecureSite) -> None:
    with mandatory.call() as call:
        assert call.sip.options() == 200
