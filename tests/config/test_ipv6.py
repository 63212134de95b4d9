"""SIP and RTP use IPv4 only: every command refuses IPv6 addresses for them when it reads the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import find_warnings

from .files import client, config_problems, load, project, tree, with_handoff, with_project

PROJECT = "clients.acme.projects.billing"
REFUSED = "has an IPv6 address; SIP and RTP use IPv4 only in this release, so write an IPv4 address"


def _desk(method: str, uri: str) -> dict[str, Any]:
    return with_handoff(destinations={"care": {"method": "release"}, "desk": {"method": method, "uri": uri}})


@pytest.mark.parametrize(
    ("content", "place"),
    [
        *[(tree(sip={"listen": [f"{kind}://[::1]:5060"]}), "sip.listen[0]") for kind in ("udp", "tcp")],
        (tree(sip={"listen": ["udp://0.0.0.0:5060", "udp://[::]:5060"]}), "sip.listen[1]"),
        (tree(sip={"listen": ["udp://[::ffff:127.0.0.1]:5060"]}), "sip.listen[0]"),
        (tree(sip={"public_address": "2001:db8::1"}), "sip.public_address"),
        *[
            (with_project(agent={"type": "sip", "uri": ["sip:a@b", uri]}), f"{PROJECT}.agent.uri[1]")
            for uri in ("sip:a@[::1]", "SIP:[2001:db8::1]:5060".lower(), "sip:a@[::1]:5080;srtp", "sip:a@b;maddr=[::1]")
        ],
        (_desk("invite", "sip:desk@[2001:db8::1]:5060"), f"{PROJECT}.handoff.destinations.desk.uri"),
    ],
)
def test_an_ipv6_address_of_sip_is_refused(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    assert config_problems(tmp_path, content) == [f"{place}: {REFUSED}"]


def test_http_and_uris_that_others_call_may_have_ipv6_addresses(tmp_path: Path) -> None:
    cxone = client()["cxone"] | {"issuer": "http://[::1]:9100", "api_url": "https://[2001:db8::1]"}
    desk = {"default": "desk", "destinations": {"desk": {"method": "refer", "uri": "sip:desk@[2001:db8::1]"}}}
    agent = {"type": "websocket", "url": "ws://[::1]:9200/media"}
    http = {
        "listen": "[::1]:8080",
        "public_url": "http://[::1]:8080",
        "admin": {"keys": ["k" * 20], "listen": "[::1]:0"},
    }
    acme = client(cxone=cxone, projects={"billing": project(agent=agent, handoff=desk)})
    config = load(tmp_path, tree(http=http, clients={"acme": acme}))
    assert (config.http.listen.host, config.http.listen.port) == ("::1", 8080)


def test_a_trusted_network_that_can_never_match_gets_a_warning(tmp_path: Path) -> None:
    found = find_warnings(load(tmp_path, tree(sip={"trusted_sources": ["192.0.2.0/24", "2001:db8::/32"]})))
    assert "sip.trusted_sources: SIP uses IPv4 only in this release, so an IPv6 network never matches" in found[0]
