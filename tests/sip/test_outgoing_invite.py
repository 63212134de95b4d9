from __future__ import annotations

import pytest

from sipbridge.sip.outgoing_invite import OutgoingInvite, caller_uri, make_invite
from sipbridge.telephony.credentials import Credentials
from sipbridge.telephony.sip_uri import SrtpUse

UDP = "udp://192.0.2.1:5060"
LOCAL = "<sip:caller@example.com>"


def make(
    uri: str, target: str = UDP, *sources: str, credentials: Credentials | None = None, proxied: bool = False
) -> OutgoingInvite:
    accounts: dict[SrtpUse, int] = {"disabled": 0, "optional": 1, "mandatory": 2}
    transport = None if proxied else target.partition(":")[0]
    return make_invite(uri, target, transport, LOCAL, {"X-Id": "1"}, sources, credentials, accounts)


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        (UDP, "sip:agent@example.com"),
        ("tcp://192.0.2.1:5060", "sip:agent@example.com;transport=tcp"),
        ("tls://192.0.2.1:5061", "sip:agent@example.com;transport=tls"),
    ],
)
def test_the_uri_names_the_transport_of_the_target(target: str, uri: str) -> None:
    invite = make("sip:agent@example.com", target)
    assert (invite.uri, invite.target) == (uri, target)


def test_behind_a_proxy_the_uri_stays_as_it_is() -> None:
    assert make("sip:agent@example.com", "tcp://192.0.2.1:5060", proxied=True).uri == "sip:agent@example.com"


def test_messages_of_the_far_end_may_come_from_the_address_of_a_target() -> None:
    invite = make("sip:agent@example.com", UDP, UDP, "tls://198.51.100.1:5061", "203.0.113.0/24", "203.0.113.9")
    assert invite.sources == ["192.0.2.1", "198.51.100.1", "203.0.113.0/24", "203.0.113.9"]


def test_the_uri_decides_about_srtp() -> None:
    assert make("sip:agent@example.com").account == 0
    secure = make("sip:agent@example.com;srtp=mandatory")
    assert (secure.account, secure.uri) == (2, "sip:agent@example.com")


def test_credentials_are_optional() -> None:
    plain = make("sip:agent@example.com")
    assert (plain.username, plain.password) == ("", "")
    known = make("sip:agent@example.com", credentials=Credentials("user", "word"))
    assert (known.username, known.password) == ("user", "word")
    assert "word" not in repr(known)


@pytest.mark.parametrize(
    ("caller", "uri"),
    [
        ("+15550100", "<sip:+15550100@192.0.2.9>"),
        ("", "<sip:anonymous@192.0.2.9>"),
        ('x"> <sip:evil', "<sip:x%22%3E%20%3Csip%3Aevil@192.0.2.9>"),
    ],
)
def test_a_caller_becomes_the_user_part_of_from(caller: str, uri: str) -> None:
    assert caller_uri(caller, "192.0.2.9") == uri
