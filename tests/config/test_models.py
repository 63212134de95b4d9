from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sipbridge.config import (
    InviteDestination,
    PromptAgentConfig,
    ReferDestination,
    ReleaseDestination,
    SignalTemplate,
    SipAgentConfig,
    WebsocketAgentConfig,
)
from tests.harness.certificates import Authority, tls_settings

from .files import client, config_problems, load, project, tree, with_handoff, with_project


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
    billing = acme.projects["billing"]
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


def test_an_address_is_given_once_except_with_port_zero(tmp_path: Path) -> None:
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
        ("store", "url", "redis://"),
        ("store", "retention_hours", 0),
    ],
)
def test_a_bad_value_of_the_service_names_its_key(tmp_path: Path, section: str, key: str, value: object) -> None:
    (found,) = config_problems(tmp_path, tree(**{section: {key: value}}))
    assert found.startswith(f"{section}.{key}")
    assert "; " in found


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


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ({"method": "release", "uri": "sip:a@b"}, "uri"),
        ({"method": "refer"}, "uri"),
        ({"method": "invite"}, "uri"),
        ({"method": "invite", "uri": "tel:+1999"}, "uri"),
        ({"method": "refer", "uri": "<sip:a@b>"}, "uri"),
        ({"method": "refer", "uri": "sip:a@b", "headers": {"Refer-To": "x"}}, "headers.Refer-To"),
        ({"method": "refer", "uri": "sip:a@b", "headers": {"X-A": "a\r\nVia: b"}}, "headers.X-A"),
        ({"method": "transfer"}, "method"),
        ({"skill": "1"}, "method"),
        ({"method": "release", "skill": 1}, "skill"),
        ({"method": "release", "signal": "perhaps"}, "signal"),
    ],
)
def test_a_bad_destination_names_its_key(tmp_path: Path, destination: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_handoff(destinations={"care": destination}))
    assert found.startswith(f"clients.acme.projects.billing.handoff.destinations.care.{place}: ")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("signal", {"p10": "x"}, ".p10"),
        ("signal", {"p1": "{nothing}"}, ".p1"),
        ("end_signal", {"p1": "{"}, ".p1"),
        ("end_signal", {"P1": "x"}, ".P1"),
        ("allowed_routes", ["*"], "[0]"),
        ("release_grace_seconds", -1, ""),
        ("dtmf_key", "", ""),
        ("dtmf_key", "00", ""),
        ("dtmf_key", "a", ""),
        ("dtmf_key", 10, ""),
        ("dtmf_key", True, ""),
        ("dtmf_key", ["1"], ""),
    ],
)
def test_a_bad_value_of_a_handoff_names_its_key(tmp_path: Path, key: str, value: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_handoff(**{key: value}))
    assert found.startswith(f"clients.acme.projects.billing.handoff.{key}{place}: ")


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
    found = load(tmp_path, content).clients["acme"].projects
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
        load(tmp_path, with_project(agent={"type": "sip", "uri": "sip:a@b"})).clients["acme"].projects["billing"].agent
    )
    assert isinstance(agent, SipAgentConfig)
    assert agent.uri == ("sip:a@b",)


@pytest.mark.parametrize(
    "agent", [{"type": "sip", "uri": "sip:a@b"}, {"type": "websocket", "url": "ws://127.0.0.1:8765"}]
)
def test_an_agent_may_be_silent_forever(tmp_path: Path, agent: dict[str, Any]) -> None:
    content = with_project(agent={**agent, "silence_timeout_seconds": None})
    found = load(tmp_path, content).clients["acme"].projects["billing"].agent
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
    assert config.clients["acme"].projects["billing"].tts_command == command


@pytest.mark.parametrize(("written", "key"), [(0, "0"), (9, "9"), ("*", "*"), ("#", "#"), ("D", "D")])
def test_a_dtmf_digit_may_be_written_as_a_number(tmp_path: Path, written: object, key: str) -> None:
    handoff = load(tmp_path, with_handoff(dtmf_key=written)).clients["acme"].projects["billing"].handoff
    assert handoff.dtmf_key == key


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
    billing = config.clients["acme"].projects["billing"]
    assert isinstance(billing.agent, WebsocketAgentConfig)
    assert billing.agent.ca_file == tmp_path / "tls" / "cert.pem"
    assert billing.tts_command == (str(tmp_path / "bin" / "say"), "--voice", "bin/en")
    assert config.sip.tls.certificate_file == tmp_path / "tls" / "cert.pem"
    assert config.store.url == f"sqlite:///{tmp_path}/data/x.db"
    assert config.store.sqlite_path == tmp_path / "data" / "x.db"


@pytest.mark.parametrize("journal", ["sipbridge.db", "./sipbridge.db", "sipbridge.db-wal", "sipbridge.db.lock"])
def test_the_journal_must_not_be_a_file_of_the_database(tmp_path: Path, journal: str) -> None:
    (found,) = config_problems(tmp_path, tree(store={"journal": journal}))
    assert found.startswith("store.journal: is a file of the database in store.url; ")


def test_an_absolute_store_path_and_a_redis_url_are_unchanged(tmp_path: Path) -> None:
    assert load(tmp_path, tree(store={"url": "sqlite:////var/lib/x.db"})).store.sqlite_path == Path("/var/lib/x.db")
    redis = load(tmp_path, tree(store={"url": "redis://localhost:6379/0"})).store
    assert (redis.url, redis.sqlite_path) == ("redis://localhost:6379/0", None)


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
def test_what_is_not_an_origin_is_refused(tmp_path: Path, origin: str) -> None:
    (found,) = config_problems(tmp_path, tree(http={"allowed_origins": [origin]}))
    assert "http.allowed_origins[0]: " in found
    assert "write https://HOST" in found


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
    assert config.clients["acme"].projects["billing"].headers.caller == "P-Asserted-Identity"
    (found,) = config_problems(tmp_path, with_project(headers={"caller": "X-Caller"}))
    assert "headers.caller: is not a known value; write 'From' or 'P-Asserted-Identity'" in found


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


@pytest.mark.parametrize(("key", "value"), [("url", "sqlite:///a\0b"), ("journal", "a\0b")])
def test_no_path_of_the_store_has_a_control_character(tmp_path: Path, key: str, value: str) -> None:
    assert config_problems(tmp_path, tree(store={key: value})) == [
        f"store.{key}: holds a line break or another control character; write one line of text"
    ]
