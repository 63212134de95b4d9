"""A retransmission of an INVITE (RFC 3261, 17.2.1) gets the same response, and is not another INVITE.

After the ACK of a 200 it gets none (RFC 6026, 7.1).
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.harness.settings import token
from tests.harness.sip.raw_sender import address_of
from tests.harness.sip.scenario_messages import templates

from .contact_call import ContactCall
from .site import Contact, Site

SILENCE_SECONDS = 0.5  # Timer G: then a response is repeated without a reason
BRANCHES = itertools.count(1)


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(SILENCE_SECONDS)
        yield bound


def invite(site: Site, scenario: str, local: tuple[str, int]) -> bytes:
    """Return the INVITE of a scenario, sent from this address."""
    host, port = local
    number, contact = next(BRANCHES), Contact.new()
    values = {
        "service": site.numbers["acme"],
        "remote_ip": "127.0.0.1",
        "remote_port": str(address_of(site.bridge.sip)[1]),
        "transport": "UDP",
        "local_ip": host,
        "local_port": str(port),
        "media_ip": host,
        "media_port": "40000",
        "branch": f"z9hG4bK-{port}-{number}",
        "pid": str(port),
        "call_number": str(number),
        "call_id": f"{port}-{number}",
        "token": token("release"),
        "contact_id": contact.id,
        "main_contact_id": contact.main_id,
    }
    return next(each for each in templates() if each.scenario == scenario and each.method == "INVITE").fill(values)


def statuses_until_silence(udp: socket.socket) -> Iterator[int]:
    """Return the status of each response."""
    while True:
        try:
            yield int(udp.recv(4096).split()[1])
        except TimeoutError:
            return


@pytest.mark.parametrize(
    ("scenario", "code"), [("no_common_codec", 488), ("no_token", 403), ("session_too_short", 422)]
)
@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_a_rejected_invite_get_its_response(
    trunk: Site, udp: socket.socket, scenario: str, code: int, copies: int
) -> None:
    count = trunk.count()
    sent = invite(trunk, scenario, udp.getsockname())
    for _ in range(copies):
        udp.sendto(sent, address_of(trunk.bridge.sip))
    statuses = list(statuses_until_silence(udp))
    assert set(statuses) == {code}
    assert len(statuses) >= copies
    assert count.grows_by(1, "sipbridge_invites_total", code=str(code))


def test_a_copy_of_an_answered_invite_gets_the_200_until_the_ack(trunk: Site) -> None:
    count = trunk.count()
    with ContactCall(trunk, "waiting") as call:
        call.set_timeout(SILENCE_SECONDS)
        call.invite()
        assert call.wait_for_answer() == 200
        first = call.answer
        call.invite_again()
        assert call.wait_for_answer() == 200
        assert call.answer == first
        call.acknowledge()
        for _ in range(3):
            call.invite_again()
            assert call.wait_for_answer() == 0
        call.end()
    assert call.record()["reason"] == "caller_hung_up"
    assert count.grows_by(1, "sipbridge_invites_total", code="200")
