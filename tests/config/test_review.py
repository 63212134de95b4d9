from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import unsupported, warnings

from .files import client, load, project, tree, with_handoff, with_project

PROJECT = "clients.acme.projects.billing"
QUIET: dict[str, Any] = {"http": {"public_url": "https://pop.example.com", "pop_link_secret": "0123456789abcdef"}}


def test_a_plain_configuration_is_supported_and_gets_no_warning(tmp_path: Path) -> None:
    config = load(tmp_path, {**tree(), **QUIET})
    assert unsupported(config) == []
    assert warnings(config) == []


def test_what_this_release_does_not_do_is_named(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    destinations = {
        "care": {"method": "release"},
        "sales": {"method": "refer", "uri": "sips:a@b"},
        "desk": {"method": "invite", "uri": "sip:a@b;transport=TLS"},
        "plain": {"method": "invite", "uri": "sip:a@b;transport=tcp"},
    }
    projects = {
        "one": project(auth_token="one", agent={"type": "sip", "uri": "sip:a@b"}),
        "two": project(auth_token="two", agent={"type": "websocket", "url": "ws://a"}),
        "three": project(auth_token="three", handoff={"default": "care", "destinations": destinations}),
    }
    sip = {
        "listen": ["udp://a:5060", "tls://a:5061"],
        "srtp": "optional",
        "tls": {"certificate_file": "cert.pem", "private_key_file": "key.pem"},
    }
    content = tree(sip=sip, store={"url": "redis://a:6379/0"}, clients={"acme": client(projects=projects)})
    assert [line.split(": ")[0] for line in unsupported(load(tmp_path, content))] == [
        "sip.listen[1]",
        "sip.srtp",
        "store.url",
        "clients.acme.projects.one.agent.type",
        "clients.acme.projects.two.agent.type",
        "clients.acme.projects.three.handoff.destinations.sales.uri",
        "clients.acme.projects.three.handoff.destinations.desk.uri",
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (with_project(auth_token=None), f"{PROJECT}.auth_token"),
        (tree(sip={"trusted_sources": ["0.0.0.0/0"]}), "sip.trusted_sources"),
        (tree(sip={"trusted_sources": ["::/0"]}), "sip.trusted_sources"),
        (tree(sip={"rtp_ports": [20000, 20997]}), "sip.rtp_ports"),
        (
            tree(
                sip={"rtp_ports": [20000, 21997]},
                clients={"acme": client(projects={"p": project(agent={"type": "sip", "uri": "sip:a@b"})})},
            ),
            "sip.rtp_ports",
        ),
        (with_handoff(allowed_routes=["sip:*"]), f"{PROJECT}.handoff.allowed_routes[0]"),
    ],
)
def test_what_is_probably_not_meant_gets_a_warning(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    (found,) = warnings(load(tmp_path, {**content, **QUIET}))
    assert found.startswith(f"{place}: ")


def test_enough_ports_get_no_warning(tmp_path: Path) -> None:
    assert warnings(load(tmp_path, {**tree(sip={"rtp_ports": [20000, 20999]}), **QUIET})) == []


def test_credentials_in_the_clear_get_a_warning_unless_they_stay_on_this_machine(tmp_path: Path) -> None:
    content = {**tree(), **QUIET}
    content["clients"]["acme"]["cxone"] |= {"issuer": "http://127.0.0.1:9100", "api_url": "http://api.example.com"}
    (found,) = warnings(load(tmp_path, content))
    assert found.startswith("clients.acme.cxone.api_url: credentials travel unencrypted")


def test_pop_links_get_warnings_where_a_signal_carries_one(tmp_path: Path) -> None:
    assert [line.split(": ")[0] for line in warnings(load(tmp_path, tree()))] == [
        "http.public_url",
        "http.pop_link_secret",
    ]
    assert warnings(load(tmp_path, with_handoff(signal={"p1": "x"}))) == []
