from __future__ import annotations

import sys
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
    agents = {
        "sips": {"type": "sip", "uri": ["sip:a@b", "sips:a@b"]},
        "named": {"type": "sip", "uri": "sip:a@b;transport=tls"},
        "chosen": {"type": "sip", "uri": "sip:a@b", "transport": "tls"},
        "plain": {"type": "sip", "uri": "sip:transport=tls@b;transport=udp?X-A=;transport=tls", "transport": "tls"},
        "socket": {"type": "websocket", "url": "wss://a"},
    }
    projects = {name: project(auth_token=name, agent=agent) for name, agent in agents.items()}
    projects["last"] = project(auth_token="last", handoff={"default": "care", "destinations": destinations})
    sip = {
        "listen": ["udp://a:5060", "tcp://a:5060", "tls://a:5061"],
        "srtp": "optional",
        "tls": {"certificate_file": "cert.pem", "private_key_file": "key.pem"},
    }
    content = tree(sip=sip, store={"url": "redis://a:6379/0"}, clients={"acme": client(projects=projects)})
    assert [line.split(": ")[0] for line in unsupported(load(tmp_path, content))] == [
        "sip.listen[2]",
        "sip.srtp",
        "store.url",
        "clients.acme.projects.sips.agent.uri",
        "clients.acme.projects.named.agent.uri",
        "clients.acme.projects.chosen.agent.uri",
        "clients.acme.projects.last.handoff.destinations.sales.uri",
        "clients.acme.projects.last.handoff.destinations.desk.uri",
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (with_project(auth_token=None), f"{PROJECT}.auth_token"),
        (tree(sip={"trusted_sources": ["0.0.0.0/0"]}), "sip.trusted_sources"),
        (tree(sip={"trusted_sources": ["::/0"]}), "sip.trusted_sources"),
        (tree(sip={"rtp_ports": [20000, 20997]}), "sip.rtp_ports"),
        (with_handoff(allowed_routes=["sip:*"]), f"{PROJECT}.handoff.allowed_routes[0]"),
        (with_handoff(allowed_routes=["sip:*@*"]), f"{PROJECT}.handoff.allowed_routes[0]"),
        (with_handoff(allowed_routes=["sip:+1*@10.0.0.*", "sip:*@sbc.*"]), f"{PROJECT}.handoff.allowed_routes[1]"),
        (with_project(tts_command="no-such-program --stdout"), f"{PROJECT}.tts_command"),
        (
            with_project(agent={"type": "websocket", "url": "ws://127.0.0.1", "ca_file": "ca.pem"}),
            f"{PROJECT}.agent.ca_file",
        ),
        (
            with_project(agent={"type": "websocket", "url": "WS://agent.example.com", "headers": {"X-Key": "k"}}),
            f"{PROJECT}.agent.url",
        ),
    ],
)
def test_what_is_probably_not_meant_gets_a_warning(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    (tmp_path / "ca.pem").touch()
    (found,) = warnings(load(tmp_path, {**content, **QUIET}))
    assert found.startswith(f"{place}: ")


SIP_AGENT = {"type": "sip", "uri": "sip:a@b"}
DESK = {"default": "desk", "destinations": {"desk": {"method": "invite", "uri": "sip:a@b"}}}


@pytest.mark.parametrize(
    ("legs", "changes"),
    [
        (1, {}),
        (1, {"agent": {"type": "websocket", "url": "wss://a"}}),
        (2, {"agent": SIP_AGENT}),
        (2, {"handoff": DESK}),
        (2, {"handoff": {"default": "a", "destinations": {"a": {"method": "release"}}, "allowed_routes": ["sip:*@b"]}}),
        (3, {"agent": SIP_AGENT, "handoff": DESK}),
    ],
)
def test_each_leg_that_a_call_may_have_at_once_needs_two_ports(
    tmp_path: Path, legs: int, changes: dict[str, Any]
) -> None:
    last = 20_000 + 2 * legs * 500 - 1
    content = {**with_project(**changes), **QUIET}
    assert warnings(load(tmp_path, {**content, "sip": {"rtp_ports": [20_000, last]}})) == []
    (found,) = warnings(load(tmp_path, {**content, "sip": {"rtp_ports": [20_000, last - 2]}}))
    assert found.startswith("sip.rtp_ports: ")
    assert f"needs up to {2 * legs * 500} of them" in found


@pytest.mark.parametrize(
    "agent",
    [
        {"type": "websocket", "url": "wss://agent.example.com", "headers": {"X-Key": "k"}, "ca_file": "ca.pem"},
        {"type": "websocket", "url": "ws://localhost:8765", "headers": {"X-Key": "k"}},
        {"type": "websocket", "url": "ws://agent.example.com"},
    ],
)
def test_a_websocket_agent_that_needs_no_warning(tmp_path: Path, agent: dict[str, Any]) -> None:
    (tmp_path / "ca.pem").touch()
    assert warnings(load(tmp_path, {**with_project(agent=agent), **QUIET})) == []


def test_a_speech_program_that_is_there_needs_no_warning(tmp_path: Path) -> None:
    (tmp_path / "say.sh").touch(0o755)
    for command in ("sh -c true", "./say.sh", [sys.executable, "say.py"]):
        assert warnings(load(tmp_path, {**with_project(tts_command=command), **QUIET})) == []


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


def test_a_listener_for_admin_that_others_reach_gets_a_warning(tmp_path: Path) -> None:
    far = tree(http={"admin": {"keys": ["key-of-admin"], "listen": "0.0.0.0:8081"}})
    assert [line for line in warnings(load(tmp_path, far)) if line.startswith("http.admin.listen: ")]
    near = tree(http={"admin": {"keys": ["key-of-admin"], "listen": "127.0.0.1:8081"}})
    assert not [line for line in warnings(load(tmp_path, near)) if line.startswith("http.admin")]
