from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipbridge.config import Config, find_warnings, hash_secret
from tests.harness.certificates import Authority, tls_settings

from .files import load, tree, with_handoff, with_project

PROJECT = "clients.acme.projects.billing"
QUIET: dict[str, Any] = {"http": {"public_url": "https://pop.example.com", "pop_link_secret": "0123456789abcdef"}}


def test_a_plain_configuration_gets_no_warning(tmp_path: Path) -> None:
    config = load(tmp_path, {**tree(), **QUIET})
    assert find_warnings(config) == []


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("redis://:pw@redis.example.com", True),
        ("redis+sentinel://127.0.0.1,redis.example.com/main", True),
        ("rediss://:pw@redis.example.com", False),
        ("redis://:pw@127.0.0.1", False),
    ],
)
def test_a_redis_on_another_machine_without_tls_is_warned_of(tmp_path: Path, url: str, *, is_warned: bool) -> None:
    content = {**tree(store={"url": url}, node={"id": "a"}, http={"pop_link_secret": "a-secret-of-sixteen"}), **QUIET}
    found = [line.partition(";")[0] for line in find_warnings(load(tmp_path, content))]
    assert found == ["store.url: records and password travel unencrypted"] * is_warned


def behind_tls(folder: Path, *, srtp: str = "disabled", expires: datetime | None = None) -> dict[str, Any]:
    """A `sip` section that listens on all transports."""
    pair = Authority(folder).issue("own", expires=expires)
    return {"listen": ["udp://a:0", "tcp://a:0", "tls://a:0"], "srtp": srtp, "tls": tls_settings(pair)}


def test_tls_and_srtp_are_supported(tmp_path: Path) -> None:
    agent = {"type": "sip", "uri": ["sip:a@b;transport=tls;srtp", "sips:a@b;srtp=optional"]}
    desk = {"default": "desk", "destinations": {"desk": {"method": "invite", "uri": "sip:a@b;transport=tls;srtp"}}}
    content = {**with_project(agent=agent, handoff=desk), **QUIET}
    config = load(tmp_path, {**content, "sip": {**behind_tls(tmp_path, srtp="optional"), "listen": ["tls://a:0"]}})
    assert find_warnings(config) == []


def test_srtp_keys_over_an_unencrypted_transport_get_a_warning(tmp_path: Path) -> None:
    uris = ["sip:a@b;srtp", "sip:a@b;srtp;transport=tcp", "sip:a@b;srtp;transport=tls", "sip:a@b"]
    destinations = {
        "desk": {"method": "invite", "uri": "sip:a@b;srtp=optional"},
        "safe": {"method": "invite", "uri": "sips:a@b;srtp"},
    }
    content = with_project(
        agent={"type": "sip", "uri": uris}, handoff={"default": "desk", "destinations": destinations}
    )
    assert [
        line.split(": ")[0] for line in find_warnings(load(tmp_path, {**content, **QUIET, "sip": behind_tls(tmp_path)}))
    ] == [
        f"{PROJECT}.agent.uri[0]",
        f"{PROJECT}.agent.uri[1]",
        f"{PROJECT}.handoff.destinations.desk.uri",
    ]
    (found,) = find_warnings(load(tmp_path, {**tree(), **QUIET, "sip": behind_tls(tmp_path, srtp="mandatory")}))
    assert found.startswith("sip.srtp: keys of calls over tcp and udp travel unencrypted")


def test_a_certificate_that_expires_soon_gets_a_warning(tmp_path: Path) -> None:
    for days, expected in ((60, []), (10, ["sip.tls.certificate_file"])):
        sip = behind_tls(tmp_path, expires=datetime.now(UTC) + timedelta(days=days))
        found = find_warnings(load(tmp_path, {**tree(), **QUIET, "sip": sip}))
        assert [line.split(": ")[0] for line in found] == expected


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
def test_a_probable_mistake_gets_a_warning(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    Authority(tmp_path)
    (found,) = find_warnings(load(tmp_path, {**content, **QUIET}))
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
    assert find_warnings(load(tmp_path, {**content, "sip": {"rtp_ports": [20_000, last]}})) == []
    (found,) = find_warnings(load(tmp_path, {**content, "sip": {"rtp_ports": [20_000, last - 2]}}))
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
def test_a_safe_websocket_agent_gets_no_warning(tmp_path: Path, agent: dict[str, Any]) -> None:
    Authority(tmp_path)
    assert find_warnings(load(tmp_path, {**with_project(agent=agent), **QUIET})) == []


def test_an_installed_speech_program_gets_no_warning(tmp_path: Path) -> None:
    (tmp_path / "say.sh").touch(0o755)
    for command in ("sh -c true", "./say.sh", [sys.executable, "say.py"]):
        assert find_warnings(load(tmp_path, {**with_project(tts_command=command), **QUIET})) == []


def test_unencrypted_credentials_get_a_warning_unless_they_stay_on_this_machine(tmp_path: Path) -> None:
    content = {**tree(), **QUIET}
    content["clients"]["acme"]["cxone"] |= {"issuer": "http://127.0.0.1:9100", "api_url": "http://api.example.com"}
    (found,) = find_warnings(load(tmp_path, content))
    assert found.startswith("clients.acme.cxone.api_url: credentials travel unencrypted")


def test_pop_links_get_warnings_if_a_signal_has_one(tmp_path: Path) -> None:
    assert [line.split(": ")[0] for line in find_warnings(load(tmp_path, tree()))] == [
        "http.public_url",
        "http.pop_link_secret",
    ]
    assert find_warnings(load(tmp_path, with_handoff(signal={"p1": "x"}))) == []


def test_an_admin_listener_that_other_machines_can_reach_gets_a_warning(tmp_path: Path) -> None:
    far = tree(http={"admin": {"keys": ["key-of-admin"], "listen": "0.0.0.0:8081"}})
    assert [line for line in find_warnings(load(tmp_path, far)) if line.startswith("http.admin.listen: ")]
    near = tree(http={"admin": {"keys": ["a-long-key-of-admin"], "listen": "127.0.0.1:8081"}})
    assert not [line for line in find_warnings(load(tmp_path, near)) if line.startswith("http.admin")]


def _about(config: Config, key: str) -> list[str]:
    return [line for line in find_warnings(config) if line.startswith(f"{key}: ")]


def test_a_variable_without_braces_gets_a_warning(tmp_path: Path) -> None:
    config = load(tmp_path, with_project(auth_token="$BILLING_TOKEN_OF_ACME", api_keys=["costs-5$-and-16-more"]))
    (found,) = _about(config, f"{PROJECT}.auth_token")
    assert "write ${NAME}" in found
    assert "BILLING" not in found  # it may be a part of the secret
    assert not _about(config, f"{PROJECT}.api_keys[0]")


def test_short_tokens_and_keys_get_a_warning(tmp_path: Path) -> None:
    config = load(tmp_path, with_project(auth_token="15-characters-.", api_keys=["16-characters--.", "short"]))
    assert _about(config, f"{PROJECT}.auth_token")
    assert not _about(config, f"{PROJECT}.api_keys[0]")
    assert _about(config, f"{PROJECT}.api_keys[1]")
    assert not _about(load(tmp_path, with_project(auth_token=hash_secret("short"))), f"{PROJECT}.auth_token")


@pytest.mark.parametrize("name", ["End", "end", "END"])
def test_a_destination_named_like_the_end_of_a_conversation_gets_a_warning(tmp_path: Path, name: str) -> None:
    destinations = {"care": {"method": "release"}, name: {"method": "release"}}
    config = load(tmp_path, with_handoff(destinations=destinations))
    assert _about(config, f"{PROJECT}.handoff.destinations.{name}")
    assert not _about(config, f"{PROJECT}.handoff.destinations.care")
    ends = load(tmp_path, with_handoff(destinations=destinations, end_signal={"p1": "Over"}))
    assert not _about(ends, f"{PROJECT}.handoff.destinations.{name}")


@pytest.mark.parametrize(
    "written", ["store: {}\ndrain_seconds: 30 #seconds", "http:\n  pop_link_secret: #a-long-secret"]
)
def test_a_value_that_ends_at_a_comment_gets_a_warning(tmp_path: Path, written: str) -> None:
    config = load(tmp_path, f"{written}\n{yaml.safe_dump(tree())}")
    (found,) = [line for line in find_warnings(config) if "where a comment begins" in line]
    assert config.remarks.line_of(found) == 2


@pytest.mark.parametrize("written", ["drain_seconds: 30 # seconds", 'drain_seconds: "30" #s', "store: # one\n  {}"])
def test_an_ordinary_comment_gets_no_warning(tmp_path: Path, written: str) -> None:
    config = load(tmp_path, f"{written}\n{yaml.safe_dump(tree())}")
    assert not [line for line in find_warnings(config) if "where a comment begins" in line]


def test_a_recording_that_cannot_get_its_caller_back_is_warned_of(tmp_path: Path) -> None:
    content = {**tree(), **QUIET}
    content["clients"]["acme"]["projects"]["billing"]["handoff"]["take_back_seconds"] = 30
    (warning,) = find_warnings(load(tmp_path, content))
    assert warning.startswith(f"{PROJECT}.handoff.take_back_seconds: has no effect")


WEBSOCKET = {"type": "websocket", "url": "wss://agent.example"}
QUIET_DESTINATION = {"care": {"method": "release", "signal": False}}


@pytest.mark.parametrize(
    ("limits", "destinations", "why"),
    [
        ({"max_call_seconds": 31}, {}, None),
        ({"max_call_seconds": 30}, {}, "a call ends before"),
        ({}, QUIET_DESTINATION, "no destination sends a Signal"),
        ({}, {**QUIET_DESTINATION, "sales": {"method": "release"}}, None),
    ],
)
def test_a_take_back_that_cannot_happen_is_warned_of(
    tmp_path: Path, limits: dict[str, int], destinations: dict[str, Any], why: str | None
) -> None:
    handoff = {
        "default": "care",
        "take_back_seconds": 30,
        "destinations": destinations or {"care": {"method": "release"}},
    }
    found = find_warnings(load(tmp_path, {**with_project(agent=WEBSOCKET, handoff=handoff, **limits), **QUIET}))
    if why is None:
        assert found == []
    else:
        (warning,) = found
        assert warning.startswith(f"{PROJECT}.handoff.take_back_seconds: has no effect, as {why}")
