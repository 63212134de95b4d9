from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from .files import config_problems, load, tree


def test_listen_addresses_have_transport_host_and_port(tmp_path: Path) -> None:
    listen = load(tmp_path, tree(sip={"listen": ["udp://192.0.2.1:5060", "tcp://sip.example.com:0"]})).sip.listen
    assert [(url.transport, url.host, url.port) for url in listen] == [
        ("udp", "192.0.2.1", 5060),
        ("tcp", "sip.example.com", 0),
    ]
    http = load(tmp_path, tree(http={"listen": "[::1]:0"})).http.listen
    assert (http.host, http.port) == ("::1", 0)


@pytest.mark.parametrize(
    "url", ["udp://0.0.0.0", "sctp://0.0.0.0:1", "udp://:5060", "udp://a:70000", "udp://a:1/x", "udp://1.2.3:5", "5060"]
)
def test_invalid_listen_addresses_are_refused(tmp_path: Path, url: str) -> None:
    (found,) = config_problems(tmp_path, tree(sip={"listen": [url]}))
    assert found.startswith("sip.listen[0]: ")
    assert "write udp://HOST:PORT" in found


def test_a_listen_address_is_unique_unless_its_port_is_zero(tmp_path: Path) -> None:
    assert len(load(tmp_path, tree(sip={"listen": ["udp://a:0", "udp://a:0"]})).sip.listen) == 2
    (found,) = config_problems(tmp_path, tree(sip={"listen": ["udp://a:5060", "udp://a:5060"]}))
    assert found == "sip.listen: has an entry twice; give each once"


def test_trusted_sources_are_networks(tmp_path: Path) -> None:
    found = load(tmp_path, tree(sip={"trusted_sources": ["203.0.113.7", "2001:db8::/32"]})).sip.trusted_sources
    assert found == (IPv4Network("203.0.113.7/32"), IPv6Network("2001:db8::/32"))


@pytest.mark.parametrize("ports", [[20001, 30000], [20000, 20000], [30000, 20001], [20000, 29998]])
def test_rtp_ports_are_pairs_with_an_even_first_port(tmp_path: Path, ports: list[int]) -> None:
    (found,) = config_problems(tmp_path, tree(sip={"rtp_ports": ports}))
    assert found.startswith("sip.rtp_ports: is not a valid range of port pairs; give an even first")


@pytest.mark.parametrize("ports", [[20000], [20000, 20001, 20002], [0, 9], [20000, 65537], "20000-29999", 5])
def test_rtp_ports_are_two_ports(tmp_path: Path, ports: object) -> None:
    assert all(found.startswith("sip.rtp_ports") for found in config_problems(tmp_path, tree(sip={"rtp_ports": ports})))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sip", "codecs", ["OPUS"]),
        ("sip", "codecs", []),
        ("sip", "codecs", ["PCMU", "PCMU"]),
        ("sip", "codecs", ["pcmu"]),
        ("sip", "srtp", "yes"),
        ("sip", "trusted_sources", ["10.0.0.1/8"]),
        ("sip", "trusted_sources", [5]),
        ("sip", "trusted_sources", []),
        ("sip", "public_address", "not a host"),
        ("sip", "public_address", "300.1.1.1"),
        ("sip", "outbound_proxy", "10.0.0.4"),
        ("sip", "outbound_proxy", "sip:user@10.0.0.4"),
        ("sip", "outbound_proxy", "sip:10.0.0.4;srtp=optional"),
        ("sip", "max_calls", 0),
        ("sip", "max_calls", 1.5),
        ("sip", "max_calls", True),
        ("sip", "max_calls_per_second", "many"),
        ("sip", "tls", {"certificate_file": "none.pem"}),
        ("sip", "tls", {"require_client_certificate": True}),
        ("http", "listen", "8080"),
        ("http", "listen", "a:b"),
        ("http", "public_url", "example.com"),
        ("http", "public_url", "https://user:pw@example.com"),
        ("http", "frame_ancestors", ["x; script-src *"]),
        ("http", "pop_link_secret", "short"),
        ("http", "pop_link_seconds", -1),
        ("store", "url", "mysql://x"),
        ("store", "url", "sqlite:///"),
        ("store", "url", "sqlite:///:memory:"),
        ("store", "retention_hours", 0),
    ],
)
def test_a_bad_value_of_the_service_names_its_key(tmp_path: Path, section: str, key: str, value: object) -> None:
    (found,) = config_problems(tmp_path, tree(**{section: {key: value}}))
    assert found.startswith(f"{section}.{key}")
    assert "; " in found


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ({"admin": {"listen": "127.0.0.1:8081"}}, "http.admin.listen: has no effect without keys; "),
        ({"listen": "127.0.0.1:1", "admin": {"keys": ["k"], "listen": "127.0.0.1:1"}}, "http.admin: has the address "),
        ({"admin": {"keys": ["caf\xe9"]}}, "http.admin.keys[0]: cannot be sent in a header; "),
        ({"max_requests_per_second": 0}, "http.max_requests_per_second: is too small; "),
    ],
)
def test_invalid_admin_settings_are_refused(tmp_path: Path, http: dict[str, Any], fault: str) -> None:
    (found,) = config_problems(tmp_path, tree(http=http))
    assert found.startswith(fault)


def test_two_listeners_may_both_have_port_zero(tmp_path: Path) -> None:
    http = {"listen": "127.0.0.1:0", "admin": {"keys": ["key-of-admin"], "listen": "127.0.0.1:0"}}
    assert load(tmp_path, tree(http=http)).http.admin.listen == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://crm.example.com", "https://crm.example.com"),
        ("https://CRM.example.com:443/", "https://crm.example.com"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://localhost:80", "http://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_normalised_to_the_form_that_browsers_send(tmp_path: Path, written: str, read: str) -> None:
    assert load(tmp_path, tree(http={"allowed_origins": [written]})).http.allowed_origins == (read,)


@pytest.mark.parametrize(
    "origin", ["crm.example.com", "https://", "https://a/b", "https://*.a.net", "https://u@a", "null", "https://a?b"]
)
def test_an_invalid_origin_is_refused(tmp_path: Path, origin: str) -> None:
    (found,) = config_problems(tmp_path, tree(http={"allowed_origins": [origin]}))
    assert "http.allowed_origins[0]: " in found
    assert "write https://HOST" in found
