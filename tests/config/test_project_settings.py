from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import (
    InviteDestination,
    PromptAgentConfig,
    ReferDestination,
    ReleaseDestination,
    SipAgentConfig,
    WebsocketAgentConfig,
)
from tests.harness.certificates import Authority, tls_settings

from .files import client, config_problems, load, project, tree, with_project


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("max_call_seconds", 0, ""),
        ("on_agent_failure", "retry", ""),
        ("agent", {"type": "robot"}, ".type"),
        ("agent", {}, ".type"),
        ("agent", "prompt", ""),
        ("agent", {"type": "prompt", "audio": "none.wav"}, ".audio"),
        ("agent", {"type": "prompt", "then": "wait"}, ".then"),
        ("agent", {"type": "sip"}, ".uri"),
        ("agent", {"type": "sip", "uri": []}, ".uri"),
        ("agent", {"type": "sip", "uri": "agent@example.com"}, ".uri"),
        ("agent", {"type": "sip", "uri": "sip:a@b", "headers": {"Via": "x"}}, ".headers.Via"),
        ("agent", {"type": "sip", "uri": "sip:a@b", "transport": "sctp"}, ".transport"),
        ("agent", {"type": "websocket", "url": "https://example.com"}, ".url"),
        ("agent", {"type": "websocket", "url": "wss://h/x", "headers": {"A B": "x"}}, ".headers.A B"),
        ("agent", {"type": "websocket", "url": "wss://h/x", "connect_timeout_seconds": 0}, ".connect_timeout_seconds"),
        ("agent", {"type": "websocket", "url": "wss://h/x", "headers": {"Upgrade": "x"}}, ".headers.Upgrade"),
        ("agent", {"type": "websocket", "url": "wss://h/x", "ca_file": "none.pem"}, ".ca_file"),
        ("agent", {"type": "websocket", "url": "wss://h/x", "silence_timeout_seconds": 0}, ".silence_timeout_seconds"),
        ("agent", {"type": "sip", "uri": "sip:a@b", "silence_timeout_seconds": "never"}, ".silence_timeout_seconds"),
        ("tts_command", "", ""),
        ("tts_command", [], ""),
        ("tts_command", ["", "x"], ""),
        ("tts_command", "say 'it", ""),
        ("tts_command", 5, ""),
        ("tts_command", ["say", 5], "[1]"),
        ("tts_command", ["say", "a\nb"], "[1]"),
        ("headers", {"contact_id": "no good"}, ".contact_id"),
        ("headers", {"auth_token": "X-Same", "contact_id": "x-same"}, ".contact_id"),
        ("headers", {"pass_to_agent": ["*"]}, ".pass_to_agent"),
    ],
)
def test_a_bad_value_of_a_project_names_its_key(tmp_path: Path, key: str, value: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_project(**{key: value}))
    assert found.startswith(f"clients.acme.projects.billing.{key}{place}")
    assert "; " in found


def test_the_type_of_agents_and_destinations_selects_their_model(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    projects = {
        "prompt": project(auth_token="one", agent={"type": "prompt", "audio": "hello.wav"}),
        "sip": project(auth_token="two", agent={"type": "sip", "uri": ["sip:a@b", "sips:c@d"]}),
        "ws": project(auth_token="three", agent={"type": "websocket", "url": "wss://example.com/a?b=c"}),
    }
    projects["sip"]["handoff"]["destinations"] |= {
        "sales": {"method": "refer", "uri": "tel:+15550199", "skill": "7"},
        "desk": {"method": "invite", "uri": "sip:desk@192.0.2.1:5090;transport=tcp", "signal": False},
    }
    pair = Authority(tmp_path).issue("own")
    sip_section = {"listen": ["udp://a:0", "tcp://a:0", "tls://a:0"], "tls": tls_settings(pair)}
    content = tree(sip=sip_section, clients={"acme": client(projects=projects)})
    found = load(tmp_path, content).clients["acme"].voice_projects
    prompt, sip, websocket = (found[name].agent for name in ("prompt", "sip", "ws"))
    assert isinstance(prompt, PromptAgentConfig)
    assert prompt.audio == tmp_path / "hello.wav"
    assert isinstance(sip, SipAgentConfig)
    assert (sip.uri, sip.answer_timeout_seconds, sip.transport) == (("sip:a@b", "sips:c@d"), 10, None)
    assert sip.silence_timeout_seconds == 60
    assert isinstance(websocket, WebsocketAgentConfig)
    assert websocket.connect_timeout_seconds == 5
    assert (websocket.ca_file, websocket.silence_timeout_seconds) == (None, 60)
    care, sales, desk = found["sip"].handoff.destinations.values()
    assert isinstance(care, ReleaseDestination)
    assert isinstance(sales, ReferDestination)
    assert (sales.skill, sales.signal) == ("7", True)
    assert isinstance(desk, InviteDestination)
    assert (desk.signal, desk.answer_timeout_seconds) == (False, 20)


def test_one_sip_uri_needs_no_list(tmp_path: Path) -> None:
    agent = (
        load(tmp_path, with_project(agent={"type": "sip", "uri": "sip:a@b"}))
        .clients["acme"]
        .voice_projects["billing"]
        .agent
    )
    assert isinstance(agent, SipAgentConfig)
    assert agent.uri == ("sip:a@b",)


@pytest.mark.parametrize(
    "agent", [{"type": "sip", "uri": "sip:a@b"}, {"type": "websocket", "url": "ws://127.0.0.1:8765"}]
)
def test_an_agent_may_be_silent_forever(tmp_path: Path, agent: dict[str, Any]) -> None:
    content = with_project(agent={**agent, "silence_timeout_seconds": None})
    found = load(tmp_path, content).clients["acme"].voice_projects["billing"].agent
    assert not isinstance(found, PromptAgentConfig)
    assert found.silence_timeout_seconds is None


@pytest.mark.parametrize(
    ("written", "command"),
    [
        ("espeak-ng --stdout -v en", ("espeak-ng", "--stdout", "-v", "en")),
        ("say 'two words' \\$x", ("say", "two words", "$x")),
        (["say", "--voice", ""], ("say", "--voice", "")),
        ("/opt/piper --model=a/b.onnx", ("/opt/piper", "--model=a/b.onnx")),
    ],
)
def test_a_command_is_a_list_or_is_split_like_in_a_shell(
    tmp_path: Path, written: object, command: tuple[str, ...]
) -> None:
    config = load(tmp_path, with_project(tts_command=written))
    assert config.clients["acme"].voice_projects["billing"].tts_command == command


def test_a_websocket_agent_has_one_signature(tmp_path: Path) -> None:
    agent = {"type": "websocket", "url": "ws://a", "headers": {"x-twilio-signature": "s"}, "signature_token": "t"}
    (found,) = config_problems(tmp_path, with_project(agent=agent))
    assert "agent.signature_token: sets X-Twilio-Signature, which is in agent.headers too" in found


@pytest.mark.parametrize("name", ["User-to-User", "diversion", "HISTORY-INFO", "P-Asserted-Identity", "X-*"])
def test_standard_headers_may_be_passed_by_name(tmp_path: Path, name: str) -> None:
    load(tmp_path, with_project(headers={"pass_to_agent": [name]}))


@pytest.mark.parametrize("name", ["Via", "P-Asserted-*", "*", "Diversion*", "From"])
def test_other_headers_are_not_passed(tmp_path: Path, name: str) -> None:
    (found,) = config_problems(tmp_path, with_project(headers={"pass_to_agent": [name]}))
    assert "or name one of User-to-User, Diversion, History-Info, P-Asserted-Identity" in found


def test_the_caller_header_is_from_or_p_asserted_identity(tmp_path: Path) -> None:
    config = load(tmp_path, with_project(headers={"caller": "p-asserted-identity"}))
    assert config.clients["acme"].voice_projects["billing"].headers.caller == "P-Asserted-Identity"
    (found,) = config_problems(tmp_path, with_project(headers={"caller": "X-Caller"}))
    assert "headers.caller: is not a known value; write 'From' or 'P-Asserted-Identity'" in found
