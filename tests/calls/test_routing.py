from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from sipbridge.calls.model import Invite
from sipbridge.calls.routing import check_wellformed, identify, pass_to_agent, read_caller, read_contact_id, route
from sipbridge.config import Config, VoiceProjectConfig, hash_secret
from sipbridge.errors import BadContactId, MalformedInvite, TokenRefused, UnknownNumber

NUMBER = "+19995550001"


def _project(token: str | None, **changes: object) -> dict[str, Any]:
    return {
        "auth_token": token,
        "agent": {"type": "prompt"},
        "handoff": {"default": "care", "destinations": {"care": {"method": "release"}}},
        **changes,
    }


def _client(number: str, **projects: object) -> dict[str, Any]:
    secrets = {"client_id": "a", "client_secret": "b", "access_key_id": "c", "access_key_secret": "d"}
    return {"pseudo_numbers": [number], "cxone": secrets, "projects": projects}


_CHANNEL = {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1"}
_CHAT = {"chat": {"channels": {"web": _CHANNEL}}}

CONFIG = Config.model_validate(
    {
        "clients": {
            "acme": _client(
                NUMBER,
                billing=_project("token-of-billing"),
                sales=_project(
                    hash_secret("token-of-sales"),
                    headers={"auth_token": "X-Sales-Token", "contact_id": "X-ContactID", "pass_to_agent": ["X-Orig*"]},
                ),
            ),
            "open": _client("+19995550002", only=_project(None), bot=_CHAT),
            "mixed": _client("+19995550003", bot=_CHAT, voice=_project("token-of-voice", chat=_CHAT["chat"])),
            "chats": _client("+19995550004", bot=_CHAT),
        }
    }
)


def _headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


TOKEN = ("X-Auth-Token", "token-of-billing")
CONTACT = ("X-InContact-ContactId", "123456789")


def _invite(
    *pairs: tuple[str, str], dialled: tuple[str, ...] = (NUMBER, "bridge"), malformed: str | None = None
) -> Invite:
    return Invite("sip-id", "127.0.0.1", 5060, "udp", dialled, "+15550100", _headers(*pairs), malformed)


def _settings(client: str, project: str) -> VoiceProjectConfig:
    return CONFIG.clients[client].voice_projects[project]


def test_an_invite_is_identified() -> None:
    main = ("X-InContact-MasterId", "987654321")
    identity, client, project = identify(CONFIG, _invite(TOKEN, CONTACT, main, ("X-Queue", "vip")), "call-1")
    assert (identity.client, identity.project) == ("acme", "billing")
    assert (identity.contact_id, identity.main_contact_id) == ("123456789", "987654321")
    assert (identity.call_id, identity.sip_call_id) == ("call-1", "sip-id")
    assert (identity.caller, identity.dialled) == ("+15550100", NUMBER)
    assert identity.headers == {
        "X-InContact-ContactId": "123456789",
        "X-InContact-MasterId": "987654321",
        "X-Queue": "vip",
    }
    assert client is CONFIG.clients["acme"]
    assert project is _settings("acme", "billing")


@pytest.mark.parametrize("dialled", [("1 (999) 555.0001",), ("bridge", NUMBER), ("+19995550001;npdi", "+19995550002")])
def test_the_client_is_found_by_the_first_user_part_that_is_a_pseudo_number(dialled: tuple[str, ...]) -> None:
    assert route(CONFIG, dialled, _headers(TOKEN)).client == "acme"


@pytest.mark.parametrize("dialled", [(), ("",), ("+19995550009", "bridge"), ("9995550001",)])
def test_an_unknown_number_is_rejected(dialled: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNumber):
        route(CONFIG, dialled, _headers(TOKEN))


@pytest.mark.parametrize(
    ("header", "project"),
    [
        (("x-auth-token", " token-of-billing "), "billing"),
        (("X-SALES-TOKEN", "token-of-sales"), "sales"),
    ],
)
def test_the_project_is_found_by_the_token_in_its_own_header(header: tuple[str, str], project: str) -> None:
    assert route(CONFIG, (NUMBER,), _headers(header)).project == project


def test_a_project_without_a_voice_agent_takes_no_calls() -> None:
    for number, token in (("+19995550003", "wrong"), ("+19995550004", "")):
        with pytest.raises(TokenRefused):
            route(CONFIG, [number], _headers(("X-Auth-Token", token)))
    assert route(CONFIG, ["+19995550003"], _headers(("X-Auth-Token", "token-of-voice"))).project == "voice"
    assert route(CONFIG, ["+19995550002"], _headers()).project == "only"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("X-Auth-Token", ""),),
        (("X-Auth-Token", "token-of-billin"),),
        (("X-Auth-Token", "TOKEN-OF-BILLING"),),
        (("X-Auth-Token", "token-of-sales"),),
        (("X-Sales-Token", "token-of-billing"),),
        (("X-Auth-Token", "\udcff"),),
    ],
)
def test_a_wrong_or_missing_token_is_rejected(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(TokenRefused):
        route(CONFIG, (NUMBER,), _headers(*headers))


@pytest.mark.parametrize("headers", [(), (("X-Auth-Token", "anything"),)])
def test_a_client_without_a_token_accepts_every_call(headers: tuple[tuple[str, str], ...]) -> None:
    assert route(CONFIG, ("+19995550002",), _headers(*headers)).project == "only"


@pytest.mark.parametrize("text", ["1", "123456789", "  123 ", "a-B-9", "x" * 32])
def test_a_contact_id_is_read_and_trimmed(text: str) -> None:
    found = read_contact_id(_settings("acme", "billing"), _headers(("x-incontact-contactid", text)))
    assert found == (text.strip(), text.strip())


@pytest.mark.parametrize("text", ["", "  ", "x" * 33, "1 2", "1/2", "a_b", "é", "\u0661", "1\n2", "100000000000"])
def test_a_bad_contact_id_is_rejected(text: str) -> None:
    with pytest.raises(BadContactId):
        read_contact_id(_settings("acme", "billing"), _headers((CONTACT[0], text)))
    with pytest.raises(BadContactId):
        read_contact_id(_settings("acme", "billing"), _headers())


@pytest.mark.parametrize("mains", [(), ("",), ("a b",), ("100000000000",), ("77", "78")])
def test_the_contact_id_replaces_a_main_contact_id_that_is_missing_or_bad(mains: tuple[str, ...]) -> None:
    headers = _headers(CONTACT, *[("X-InContact-MasterId", main) for main in mains])
    assert read_contact_id(_settings("acme", "billing"), headers) == ("123456789", "123456789")


@pytest.mark.parametrize("name", ["X-Auth-Token", "X-Sales-Token", "X-InContact-ContactId", "X-ContactID"])
def test_different_values_in_a_projects_header_are_malformed(name: str) -> None:
    with pytest.raises(MalformedInvite, match="several times"):
        check_wellformed(CONFIG, _invite((name, "1"), (name.lower(), "2")))
    check_wellformed(CONFIG, _invite((name, "1"), (name.lower(), " 1 ")))


@pytest.mark.parametrize("name", ["x-auth-token", "x-contactid"])
def test_a_value_over_256_bytes_is_malformed(name: str) -> None:
    check_wellformed(CONFIG, _invite((name, "x" * 256)))
    check_wellformed(CONFIG, _invite((name, "\udcff" * 256)))
    for value in ("x" * 257, "\udcff" * 257):
        with pytest.raises(MalformedInvite, match="over 256 bytes"):
            check_wellformed(CONFIG, _invite((name, value)))


def test_other_headers_may_repeat_and_be_long() -> None:
    check_wellformed(CONFIG, _invite(("X-Other", "1"), ("X-Other", "x" * 1000)))


def test_faults_are_found_in_the_contracts_order() -> None:
    bad = (("X-Auth-Token", "1"), ("X-Auth-Token", "2"))
    with pytest.raises(MalformedInvite, match="body too short"):
        identify(CONFIG, _invite(*bad, dialled=("0",), malformed="body too short"), "id")
    with pytest.raises(MalformedInvite):
        identify(CONFIG, _invite(*bad, dialled=("0",)), "id")
    with pytest.raises(UnknownNumber):
        identify(CONFIG, _invite(("X-Auth-Token", "1"), dialled=("0",)), "id")
    with pytest.raises(TokenRefused):
        identify(CONFIG, _invite(("X-Auth-Token", "1")), "id")
    with pytest.raises(BadContactId):
        identify(CONFIG, _invite(TOKEN), "id")


def test_errors_quote_no_number_token_or_id() -> None:
    for invite in (
        _invite(dialled=("0123456",)),
        _invite(("X-Auth-Token", "0123456")),
        _invite(TOKEN, (CONTACT[0], "0123456 0123456")),
        _invite((CONTACT[0], "0123456"), (CONTACT[0], "01234567")),
    ):
        with pytest.raises((UnknownNumber, TokenRefused, BadContactId, MalformedInvite)) as caught:
            identify(CONFIG, invite, "id")
        assert "0123456" not in str(caught.value)


def test_the_agent_gets_the_first_value_of_matching_headers_and_no_token() -> None:
    headers = _headers(
        ("X-Auth-Token", "token"), ("x-queue", "a"), ("X-Queue", "b"), ("Via", "v"), ("X-Sales-Token", "t"), ("X-N", "")
    )
    assert pass_to_agent(_settings("acme", "billing"), headers) == {"x-queue": "a", "X-Sales-Token": "t", "X-N": ""}
    assert pass_to_agent(_settings("acme", "sales"), _headers(("x-ORIGDNIS", "1"), ("X-Queue", "b"))) == {
        "x-ORIGDNIS": "1"
    }


ASSERTED = ("P-Asserted-Identity", "<sip:+15550199@trunk>")


def _named(*names: str, **headers: object) -> VoiceProjectConfig:
    return VoiceProjectConfig.model_validate(_project("token", headers={"pass_to_agent": names, **headers}))


def test_standard_headers_pass_under_their_own_names_if_configured() -> None:
    headers = _headers(
        ("user-to-user", "3030;encoding=hex"),
        ("DIVERSION", "<sip:a@b>;reason=busy"),
        ("History-Info", "<sip:a@b>;index=1"),
        ("history-info", "<sip:c@d>;index=1.1"),
        ASSERTED,
        ("X-Queue", "vip"),
        ("Subject", "no"),
    )
    assert pass_to_agent(_named("User-to-User", "diversion", "HISTORY-INFO", "P-Asserted-Identity"), headers) == {
        "User-to-User": "3030;encoding=hex",
        "Diversion": "<sip:a@b>;reason=busy",
        "History-Info": "<sip:a@b>;index=1, <sip:c@d>;index=1.1",
        "P-Asserted-Identity": "<sip:+15550199@trunk>",
    }
    assert pass_to_agent(_named("X-*"), headers) == {"X-Queue": "vip"}
    assert pass_to_agent(_named("Diversion"), headers) == {"Diversion": "<sip:a@b>;reason=busy"}


def test_a_standard_header_with_the_token_does_not_pass() -> None:
    project = _named("User-to-User", "X-*", auth_token="User-to-User")
    assert pass_to_agent(project, _headers(("user-to-user", "token"))) == {}


@pytest.mark.parametrize(("privacy", "passed"), [("id", "History-Info"), ("user; History", "P-Asserted-Identity")])
def test_headers_that_the_caller_wants_withheld_do_not_pass(privacy: str, passed: str) -> None:
    headers = _headers(ASSERTED, ("History-Info", "<sip:a@b>;index=1"), ("Privacy", privacy))
    assert list(pass_to_agent(_named("P-Asserted-Identity", "History-Info"), headers)) == [passed]


@pytest.mark.parametrize(
    ("header", "asserted", "privacy", "caller"),
    [
        ("From", ("+15550199",), "none", "+15550100"),
        ("P-Asserted-Identity", ("+15550199", "+15550188"), "none", "+15550199"),
        ("p-asserted-identity", ("+15550199",), "none", "+15550199"),
        ("P-Asserted-Identity", ("Anonymous", "+15550188"), "none", "+15550188"),
        ("P-Asserted-Identity", (), "none", "+15550100"),
        ("P-Asserted-Identity", ("anonymous",), "none", "+15550100"),
        ("P-Asserted-Identity", ("+15550199",), "id;critical", "+15550100"),
        ("P-Asserted-Identity", ("+15550199",), "user, ID", "+15550100"),
    ],
)
def test_the_callers_number_comes_from_the_configured_header(
    header: str, asserted: tuple[str, ...], privacy: str, caller: str
) -> None:
    invite = replace(_invite(("Privacy", privacy)), asserted=asserted)
    assert read_caller(_named(caller=header), invite) == caller


def test_no_pattern_passes_nothing() -> None:
    project = VoiceProjectConfig.model_validate(_project("token", headers={"pass_to_agent": []}))
    assert pass_to_agent(project, _headers(("X-Queue", "b"), ("", ""))) == {}


@pytest.mark.parametrize(
    "name", ["X-Sipbridge-Caller", "x-SIPBRIDGE-contact-id", "X-Handoff-Destination", "x-handoff-p4"]
)
def test_a_caller_cannot_send_headers_of_the_bridge_or_the_agent(name: str) -> None:
    assert pass_to_agent(_settings("acme", "billing"), _headers((name, "1"), ("X-Queue", "a"))) == {"X-Queue": "a"}
