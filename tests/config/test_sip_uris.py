from __future__ import annotations

from pathlib import Path

import pytest

from sipbridge.config import hop_of, same_host, sip_transport, split_srtp, with_transport

from .files import config_problems, with_handoff, with_project


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:a@b", None),
        ("sip:a@b;transport=TCP;lr", "tcp"),
        ("sips:a@b", "tls"),
        ("sips:a@b;transport=tcp", "tls"),
        ("sip:transport=tls@b;transport=udp?X-A=;transport=tls", "udp"),
        ("sip:a;transport=tls@b", None),
    ],
)
def test_the_transport_that_a_uri_names(uri: str, transport: str | None) -> None:
    assert sip_transport(uri) == transport


@pytest.mark.parametrize(
    ("uri", "sent", "use"),
    [
        ("sip:a@b", "sip:a@b", "disabled"),
        ("sip:a@b;srtp", "sip:a@b", "mandatory"),
        ("sip:a@b:5061;transport=tls;SRTP", "sip:a@b:5061;transport=tls", "mandatory"),
        ("sip:a@b;srtp=Optional;transport=tls", "sip:a@b;transport=tls", "optional"),
        ("sip:a@b;srtp=mandatory;lr?X-A=;srtp", "sip:a@b;lr?X-A=;srtp", "mandatory"),
        ("sip:a;srtp@b;srtpx=1", "sip:a;srtp@b;srtpx=1", "disabled"),
        ("sips:[::1]:5061;srtp", "sips:[::1]:5061", "mandatory"),
    ],
)
def test_the_srtp_parameter_is_removed_before_the_uri_is_sent(uri: str, sent: str, use: str) -> None:
    assert split_srtp(uri) == (sent, use)


@pytest.mark.parametrize("parameters", [";srtp=", ";srtp=disabled", ";srtp=yes", ";srtp;srtp", ";srtp=optional;srtp"])
def test_an_invalid_srtp_parameter_is_refused(tmp_path: Path, parameters: str) -> None:
    with pytest.raises(ValueError, match="no valid srtp parameter; write ;srtp=mandatory or ;srtp=optional, once"):
        split_srtp(f"sip:a@b{parameters}")
    (fault,) = config_problems(tmp_path, with_project(agent={"type": "sip", "uri": f"sip:a@b{parameters}"}))
    assert "has no valid srtp parameter" in fault


def test_the_srtp_parameter_is_refused_for_calls_that_cxone_makes(tmp_path: Path) -> None:
    destinations = {"care": {"method": "refer", "uri": "sip:a@b;srtp"}}
    (fault,) = config_problems(tmp_path, with_handoff(destinations=destinations))
    assert "requests SRTP for a call that CXone makes" in fault


@pytest.mark.parametrize(
    ("uri", "transport", "dialled"),
    [
        ("sip:bot@example.net", None, "sip:bot@example.net"),
        ("sip:bot@example.net:5070", "tcp", "sip:bot@example.net:5070;transport=tcp"),
        ("sip:bot@example.net;transport=UDP", "tcp", "sip:bot@example.net;transport=UDP"),
        ("sip:bot@example.net;Transport=udp;lr", "tcp", "sip:bot@example.net;Transport=udp;lr"),
        ("sip:bot@example.net;lr?X-A=1", "udp", "sip:bot@example.net;lr;transport=udp?X-A=1"),
        ("sip:bot;transport=x@example.net", "tcp", "sip:bot;transport=x@example.net;transport=tcp"),
        ("sips:bot@example.net", "udp", "sips:bot@example.net"),
        ("sip:[::1]:5070", "tcp", "sip:[::1]:5070;transport=tcp"),
    ],
)
def test_the_transport_is_added_if_the_uri_names_none(uri: str, transport: str | None, dialled: str) -> None:
    assert with_transport(uri, transport) == dialled


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:a@b.test", ("b.test", 0, "")),
        ("sip:b.test:5070", ("b.test", 5070, "")),
        ("sip:a:x@b.test;transport=TCP", ("b.test", 0, "tcp")),
        ("sips:a@192.0.2.1:5071;lr", ("192.0.2.1", 5071, "tls")),
        ("sip:a@b.test:5070;maddr=c.test", ("c.test", 5070, "")),
        ("sip:a;maddr=c.test@b.test?X-A=b:1", ("b.test", 0, "")),
    ],
)
def test_the_next_hop_of_a_uri(uri: str, hop: tuple[str, int, str]) -> None:
    assert hop_of(uri) == hop


def test_the_same_host_with_another_port_or_case_is_the_same() -> None:
    assert same_host("sip:a@B.test:5070", "sips:c@b.test")
    assert not same_host("sip:a@b.test", "sip:a@b.test.evil.test")
    assert not same_host("sip:a@b.test;maddr=c.test", "sip:a@b.test")
