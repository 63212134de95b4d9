from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sipbridge.config import (
    SignalTemplate,
    WebsocketAgentConfig,
)
from tests.harness.certificates import Authority

from .files import client, config_problems, load, tree, with_project


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    config = load(tmp_path, tree())
    sip, http = config.sip, config.http
    assert sip.listen == ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")
    assert (sip.public_address, sip.rtp_ports, sip.codecs, sip.srtp) == (
        None,
        (20000, 29999),
        ("PCMU", "PCMA"),
        "disabled",
    )
    assert sip.trusted_sources == (IPv4Network("127.0.0.0/8"),)
    assert (sip.max_calls, sip.max_calls_per_second) == (500, 200)
    assert (http.listen, http.public_url) == ("127.0.0.1:8080", "http://127.0.0.1:8080")
    assert http.frame_ancestors[0] == "'self'"
    assert (http.pop_link_secret, http.pop_link_seconds) == (None, 3600)
    assert (http.max_requests_per_second, http.admin.keys, http.admin.listen) == (200, (), None)
    assert config.store.sqlite_path == tmp_path / "sipbridge.db"
    assert (config.store.retention_hours, config.drain_seconds) == (24, 30)
    acme = config.clients["acme"]
    assert (acme.cxone.issuer, acme.cxone.api_url) == ("https://cxone.niceincontact.com", None)
    assert (acme.cxone.api_version, acme.cxone.parameters_in) == ("v30.0", "body")
    billing = acme.voice_projects["billing"]
    assert (billing.api_keys, billing.max_call_seconds, billing.on_agent_failure) == ((), 3600, "reject")
    assert billing.headers.auth_token == "X-Auth-Token"
    assert billing.headers.contact_id == "X-InContact-ContactId"
    assert billing.headers.main_contact_id == "X-InContact-MasterId"
    assert billing.headers.pass_to_agent == ("X-*",)
    handoff = billing.handoff
    assert handoff.signal == {
        "p1": SignalTemplate("{destination}"),
        "p2": SignalTemplate("{skill}"),
        "p3": SignalTemplate("{reason}"),
        "p9": SignalTemplate("{pop_url}"),
    }
    assert handoff.end_signal == {"p1": SignalTemplate("End")}
    assert (handoff.allowed_routes, handoff.release_grace_seconds, handoff.post_transcript) == ((), 5, False)
    assert (handoff.dtmf_key, billing.tts_command) == (None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("issuer", "cxone.niceincontact.com"),
        ("api_url", "ftp://x"),
        ("api_version", "30.0"),
        ("api_version", "v30"),
        ("client_id", ""),
        ("client_secret", ""),
        ("access_key_secret", ["listed"]),
        ("parameters_in", "header"),
        ("business_unit", 4599999),
    ],
)
def test_a_bad_value_of_the_tenant_names_its_key(tmp_path: Path, key: str, value: object) -> None:
    content = client()
    content["cxone"][key] = value
    (found,) = config_problems(tmp_path, tree(clients={"acme": content}))
    assert found.startswith(f"clients.acme.cxone.{key}: ")
    assert "; " in found


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    pair = Authority(tmp_path / "tls").issue("own")
    pair.certificate.rename(tmp_path / "tls" / "cert.pem")
    pair.key.rename(tmp_path / "tls" / "key.pem")
    tls = {"certificate_file": "tls/cert.pem", "private_key_file": "tls/key.pem"}
    agent = {"type": "websocket", "url": "wss://a", "ca_file": "tls/cert.pem"}
    content = with_project(agent=agent, tts_command="bin/say --voice bin/en")
    content |= {"sip": {"listen": ["tls://a:5061"], "tls": tls}, "store": {"url": "sqlite:///data/x.db"}}
    config = load(tmp_path, content)
    billing = config.clients["acme"].voice_projects["billing"]
    assert isinstance(billing.agent, WebsocketAgentConfig)
    assert billing.agent.ca_file == tmp_path / "tls" / "cert.pem"
    assert billing.tts_command == (str(tmp_path / "bin" / "say"), "--voice", "bin/en")
    assert config.sip.tls.certificate_file == tmp_path / "tls" / "cert.pem"
    assert config.store.url == f"sqlite:///{tmp_path}/data/x.db"
    assert config.store.sqlite_path == tmp_path / "data" / "x.db"


def test_a_client_is_found_by_its_number_with_any_separators(tmp_path: Path) -> None:
    clients = {
        "acme": client(pseudo_numbers=["+1 (999) 555-0001", "19995550002"]),
        "zeta": client(pseudo_numbers=["3"]),
    }
    config = load(tmp_path, tree(clients=clients))
    for number in ("+19995550001", "1.999.555.0002", "19995550001;npdi"):
        assert config.client_of(number) == ("acme", config.clients["acme"])
    assert config.client_of("3") == ("zeta", config.clients["zeta"])
    assert config.client_of("4") is None
    assert config.client_of("") is None


@pytest.mark.parametrize("number", ["", "+", "alice", "sip:+1999@x", 19995550001])
def test_a_pseudo_number_has_digits(tmp_path: Path, number: object) -> None:
    (found,) = config_problems(tmp_path, tree(clients={"acme": client(pseudo_numbers=[number])}))
    assert found.startswith("clients.acme.pseudo_numbers[0]: ")


@pytest.mark.parametrize("identifier", ["", "a b", "a/b", "..", "-a", "x" * 65])
def test_an_id_that_does_not_fit_into_a_path_is_refused(tmp_path: Path, identifier: str) -> None:
    assert any(
        "is not a valid id" in found for found in config_problems(tmp_path, tree(clients={identifier: client()}))
    )


def test_the_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load(tmp_path, tree())
    with pytest.raises(ValidationError):
        config.drain_seconds = 5  # type: ignore[misc]


def test_no_model_shows_a_secret(tmp_path: Path) -> None:
    content = with_project(
        auth_token="s3cret-token",
        api_keys=["s3cret-key"],
        agent={
            "type": "websocket",
            "url": "wss://example.com/?key=s3cret",
            "headers": {"Authorization": "Bearer s3cret"},
            "parameters": {"key": "s3cret"},
            "signature_token": "s3cret-of-agent",
        },
        tts_command="say --key s3cret",
    )
    content["clients"]["acme"]["cxone"] |= {"client_secret": "s3cret-app", "access_key_secret": "s3cret-access"}
    content["http"] = {"pop_link_secret": "s3cret-of-pop-links"}
    config = load(tmp_path, content)
    assert "s3cret" not in repr(config)
    assert "s3cret" not in str(config.clients["acme"].cxone.model_dump())
    assert "s3cret" not in str(config.http.model_dump_json())


HUGE = 10**400


@pytest.mark.parametrize(
    ("key", "maximum"),
    [
        ("sip.max_calls", 1_000_000),
        ("sip.max_calls_per_second", 1_000_000),
        ("http.max_requests_per_second", 1_000_000),
        ("http.pop_link_seconds", 31_536_000),
        ("store.retention_hours", 87_600),
        ("drain_seconds", 31_536_000),
    ],
)
def test_every_number_of_the_service_has_a_maximum(tmp_path: Path, key: str, maximum: int) -> None:
    section, _, name = key.rpartition(".")

    def content(value: int) -> dict[str, Any]:
        return tree(**({section: {name: value}} if section else {name: value}))

    assert load(tmp_path, content(maximum))
    assert config_problems(tmp_path, content(maximum + 1)) == [f"{key}: is too large; it must be at most {maximum}"]
    assert config_problems(tmp_path, content(HUGE)) == [f"{key}: is too large; write a smaller number"]


@pytest.mark.parametrize(
    "changes",
    [
        {"max_call_seconds": HUGE},
        {"max_call_seconds": 31_536_001},
        {"media_timeout_seconds": 1e300},
        {"agent": {"type": "sip", "uri": "sip:a@b", "answer_timeout_seconds": 1e300}},
        {"agent": {"type": "sip", "uri": "sip:a@b", "silence_timeout_seconds": HUGE}},
        {"agent": {"type": "websocket", "url": "wss://h/x", "connect_timeout_seconds": 1e300}},
        {"agent": {"type": "websocket", "url": "wss://h/x", "silence_timeout_seconds": 1e300}},
        {
            "handoff": {
                "default": "care",
                "destinations": {"care": {"method": "release"}},
                "release_grace_seconds": HUGE,
            }
        },
    ],
)
def test_every_number_of_a_project_has_a_maximum(tmp_path: Path, changes: dict[str, Any]) -> None:
    (found,) = config_problems(tmp_path, with_project(**changes))
    assert "_seconds: is too large; " in found
