from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sipbridge.config import hash_secret
from tests.harness.certificates import Authority, tls_settings

from .files import client, config_problems, load, project, tree, with_handoff, with_project

PROJECT = "clients.acme.projects.billing"


def _two_projects(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return tree(clients={"acme": client(projects={"one": project(**one), "two": project(**other)})})


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """One of each kind, in one file and even in one project, so that none hides another."""
    bad: dict[str, Any] = project(
        auth_token="same-token",
        api_keys=["${NOT_SET}"],
        max_cal_seconds=5,
        agent={"type": "prompt", "audio": "none.wav", "destination": "nowhere"},
        handoff={
            "default": "car",
            "destinations": {"care": {"method": "release"}, "sales": {"method": "refer"}},
            "signal": {"p1": "{nothing}", "p10": "x"},
            "post_transcript": True,
        },
    )
    content = tree(
        sip={"max_calls": -1, "listen": ["tls://0.0.0.0:5061"]},
        htp={},
        clients={
            "acme": client(projects={"billing": bad, "other": project(auth_token="same-token")}),
            "zeta": client(pseudo_numbers=["1 999 555 0001"]),
        },
    )
    found = config_problems(tmp_path, content)
    assert [line.split(": ")[0] for line in found] == [
        "clients.acme.cxone.business_unit",
        f"{PROJECT}.agent.audio",
        f"{PROJECT}.agent.destination",
        f"{PROJECT}.api_keys[0]",
        f"{PROJECT}.handoff.default",
        f"{PROJECT}.handoff.destinations.sales.uri",
        f"{PROJECT}.handoff.signal.p1",
        f"{PROJECT}.handoff.signal.p10",
        f"{PROJECT}.max_cal_seconds",
        "clients.acme.projects.other.auth_token",
        "clients.zeta.pseudo_numbers[0]",
        "htp",
        "sip.max_calls",
        "sip.tls.certificate_file",
        "sip.tls.private_key_file",
    ]
    assert all("; " in line for line in found)


def test_an_unknown_key_gets_the_nearest_known_one(tmp_path: Path) -> None:
    assert config_problems(tmp_path, with_handoff(allowed_route=[])) == [
        f"{PROJECT}.handoff.allowed_route: is an unknown key; did you mean allowed_routes?"
    ]
    destination = {"method": "refer", "uri": "sip:a@b", "skil": "5"}
    (found,) = config_problems(tmp_path, with_handoff(destinations={"care": destination}))
    assert found == f"{PROJECT}.handoff.destinations.care.skil: is an unknown key; did you mean skill?"
    (found,) = config_problems(tmp_path, with_project(agent={"type": "sip", "uri": "sip:a@b", "zzz": 1}))
    assert found.endswith(
        "the known ones are answer_timeout_seconds, headers, password, silence_timeout_seconds, transport, "
        "trusted_sources, type, uri, username"
    )


def test_missing_sections_are_reported(tmp_path: Path) -> None:
    assert config_problems(tmp_path, {"sip": {}}) == ["clients: is missing; it is required"]
    assert config_problems(tmp_path, {"clients": {}}) == ["clients: has too few entries; give at least 1"]
    assert config_problems(tmp_path, tree(sip=None)) == ["sip: is not a mapping; write KEY: VALUE below it"]


def test_a_key_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, tree(clients={4599: client()}))
    assert found == "clients[4599]: is a key that is not text; put it in quotes"
    found, _ = config_problems(tmp_path, "5: 1\n")
    assert found == "[5]: is a key that is not text; put it in quotes"


def test_a_key_with_a_line_break_is_reported_in_one_line(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, tree(**{"a\nb": 1}))
    assert found.startswith(r"a\nb: is an unknown key")


@pytest.mark.parametrize("other", ["+19995550001", "1 (999) 555.0001", "[1]999-555-0001"])
def test_a_number_belongs_to_one_client_only(tmp_path: Path, other: str) -> None:
    clients = {"acme": client(), "zeta": client(pseudo_numbers=["3", other])}
    right = "is also the number of clients.acme.pseudo_numbers[0]; give each number once, to one client"
    assert config_problems(tmp_path, tree(clients=clients)) == [f"clients.zeta.pseudo_numbers[1]: {right}"]
    alone = tree(clients={"acme": client(pseudo_numbers=["+19995550001", other])})
    assert config_problems(tmp_path, alone) == [f"clients.acme.pseudo_numbers[1]: {right}"]


HASH = hash_secret("the-token")


@pytest.mark.parametrize(
    ("one", "other"),
    [("the-token", "the-token"), (HASH, HASH), ("the-token", HASH), (HASH, "the-token"), ("${T}", HASH)],
)
def test_two_projects_of_a_client_must_have_different_tokens(tmp_path: Path, one: str, other: str) -> None:
    content = _two_projects({"auth_token": one}, {"auth_token": other})
    assert config_problems(tmp_path, content, {"T": "the-token"}) == [
        (
            "clients.acme.projects.two.auth_token: is also the token of clients.acme.projects.one.auth_token;"
            " give each project of a client its own"
        )
    ]


def test_projects_of_two_clients_may_share_a_token(tmp_path: Path) -> None:
    clients = {"acme": client(), "zeta": client(pseudo_numbers=["3"])}
    assert len(load(tmp_path, tree(clients=clients)).clients) == 2


@pytest.mark.parametrize(("one", "other"), [("key", "key"), ("key", hash_secret("key")), (hash_secret("key"), "key")])
def test_a_key_belongs_to_one_project_across_all_clients(tmp_path: Path, one: str, other: str) -> None:
    clients = {
        "acme": client(projects={"billing": project(api_keys=["first", one])}),
        "zeta": client(pseudo_numbers=["3"], projects={"sales": project(api_keys=[other])}),
    }
    (found,) = config_problems(tmp_path, tree(clients=clients))
    assert found.startswith(f"clients.zeta.projects.sales.api_keys[0]: is also the key at {PROJECT}.api_keys[1]; ")


def test_an_admin_key_must_not_be_the_key_of_a_project(tmp_path: Path) -> None:
    content = with_project(api_keys=["key"]) | {"http": {"admin": {"keys": ["own", hash_secret("key")]}}}
    (found,) = config_problems(tmp_path, content)
    assert found.startswith(f"http.admin.keys[1]: is also the key at {PROJECT}.api_keys[0]; ")


def test_a_null_token_is_allowed_only_for_a_client_with_one_project(tmp_path: Path) -> None:
    assert load(tmp_path, with_project(auth_token=None)).clients["acme"].voice_projects["billing"].auth_token is None
    (found,) = config_problems(tmp_path, _two_projects({"auth_token": None}, {"auth_token": "other"}))
    assert found == (
        "clients.acme.projects.one.auth_token: is null in a client of several projects; give each project a token"
    )


def test_a_missing_token_is_an_error(tmp_path: Path) -> None:
    content = with_project()
    del content["clients"]["acme"]["projects"]["billing"]["auth_token"]
    assert config_problems(tmp_path, content) == [f"{PROJECT}.auth_token: is missing; it is required"]


def test_an_undefined_destination_is_an_error(tmp_path: Path) -> None:
    assert config_problems(tmp_path, with_handoff(default="car")) == [
        f"{PROJECT}.handoff.default: 'car' is not defined; did you mean care?"
    ]
    assert config_problems(tmp_path, with_project(agent={"type": "prompt", "destination": "zzz"})) == [
        f"{PROJECT}.agent.destination: 'zzz' is not defined; the known ones are care"
    ]


def test_tls_needs_a_certificate_and_its_key(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    sip = {"listen": ["tls://0.0.0.0:5061"], "tls": {"certificate_file": "cert.pem", "private_key_file": None}}
    assert config_problems(tmp_path, tree(sip=sip)) == [
        "sip.tls.private_key_file: is missing; a tls:// address in sip.listen needs it"
    ]


@pytest.mark.parametrize(
    ("listen", "changes", "place", "transport"),
    [
        ("udp", {"agent": {"type": "sip", "uri": "sip:a@b;transport=TCP"}}, "agent.uri", "tcp"),
        ("udp", {"agent": {"type": "sip", "uri": "sip:a@b", "transport": "tcp"}}, "agent.uri", "tcp"),
        ("tcp", {"agent": {"type": "sip", "uri": ["sip:a@b;transport=tcp", "sip:a@c"]}}, "agent.uri[1]", "udp"),
        (
            "tcp",
            {"handoff": {"default": "x", "destinations": {"x": {"method": "invite", "uri": "sip:a@b"}}}},
            "handoff.destinations.x.uri",
            "udp",
        ),
        ("udp", {"agent": {"type": "sip", "uri": "sip:a@b;transport=TLS"}}, "agent.uri", "tls"),
        ("udp", {"agent": {"type": "sip", "uri": "sips:a@b;srtp", "transport": "udp"}}, "agent.uri", "tls"),
        ("udp", {"agent": {"type": "sip", "uri": "sip:a@b", "transport": "tls"}}, "agent.uri", "tls"),
    ],
)
def test_a_uri_that_we_call_needs_a_listener_of_its_transport(
    tmp_path: Path, listen: str, changes: dict[str, Any], place: str, transport: str
) -> None:
    content = with_project(**changes)
    addresses = ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060", "tls://127.0.0.1:5061"]
    assert load(
        tmp_path, {**content, "sip": {"listen": addresses, "tls": tls_settings(Authority(tmp_path).issue("own"))}}
    )
    assert config_problems(tmp_path, {**content, "sip": {"listen": [f"{listen}://127.0.0.1:5060"]}}) == [
        f"{PROJECT}.{place}: is called over {transport.upper()}; add a {transport}:// address to sip.listen"
    ]


def test_behind_an_outbound_proxy_only_its_transport_needs_a_listener(tmp_path: Path) -> None:
    content = with_project(agent={"type": "sip", "uri": "sip:a@b;transport=tls"})
    sip = {"listen": ["udp://127.0.0.1:5060"]}
    assert load(tmp_path, {**content, "sip": {**sip, "outbound_proxy": "sip:192.0.2.4"}})
    assert config_problems(tmp_path, {**content, "sip": {**sip, "outbound_proxy": "sip:192.0.2.4;transport=tcp"}}) == [
        "sip.outbound_proxy: is called over TCP; add a tcp:// address to sip.listen"
    ]


def test_a_uri_that_cxone_calls_needs_no_listener(tmp_path: Path) -> None:
    sales = {"method": "refer", "uri": "sips:a@b;transport=tls"}
    content = with_handoff(default="sales", destinations={"sales": sales})
    assert load(tmp_path, {**content, "sip": {"listen": ["udp://127.0.0.1:5060"]}})


def test_no_problem_shows_a_value(tmp_path: Path) -> None:
    secret = "s3cret"
    content = tree(
        sip={"listen": [secret], "codecs": [secret], "max_calls": secret, "trusted_sources": [secret], "srtp": secret},
        http={"listen": secret, "public_url": secret, "frame_ancestors": [f"{secret};"], "pop_link_secret": secret},
        store={"url": secret},
        clients={
            "acme": client(
                pseudo_numbers=[secret],
                cxone={key: [secret] for key in ("issuer", "client_id", "client_secret", "access_key_id")},
                projects={
                    "one": project(auth_token=f" {secret}", api_keys=[{secret: 1}], agent={"type": secret}),
                    "two": project(auth_token=f"sha256:{secret}", agent={"type": "sip", "uri": secret}),
                    "three": project(agent=secret, handoff=secret, headers={"contact_id": f"{secret} {secret}"}),
                    "four": project(tts_command=f"{secret} '", agent={"type": "websocket", "url": secret}),
                },
            )
        },
    )
    found = config_problems(tmp_path, content)
    assert len(found) > 20
    assert secret not in "\n".join(found)


@pytest.mark.parametrize(
    ("first", "following"),
    [("[x, x, x, x, x, x, x, x, x, x]", "[{}]"), ("{x: 1}", "{{<<: [{}]}}")],
    ids=["lists", "merge keys"],
)
def test_aliases_that_expand_to_more_than_memory_holds_are_refused_at_once(
    tmp_path: Path, first: str, following: str
) -> None:
    lines = [f"level0: &level0 {first}"]
    for level in range(1, 10):
        aliases = ", ".join([f"*level{level - 1}"] * 10)
        lines.append(f"level{level}: &level{level} {following.format(aliases)}")
    assert config_problems(tmp_path, "\n".join(lines)) == [
        "has more than 250,000 entries, with what its aliases stand for; write fewer"
    ]


def test_an_alias_for_settings_that_projects_share_is_accepted(tmp_path: Path) -> None:
    content = with_project()
    billing = content["clients"]["acme"]["projects"]["billing"]
    content["clients"]["acme"]["projects"]["sales"] = {**billing, "auth_token": "token-of-sales"}
    assert "&id" in yaml.safe_dump(content)
    assert len(load(tmp_path, content).clients["acme"].projects) == 2
