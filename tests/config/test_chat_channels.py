from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import (
    ByocChannelConfig,
    ChatChannelConfig,
    ChatTemplate,
    DfoChannelConfig,
    PatronChannelConfig,
)

from .files import byoc, chat_of, config_problems, dfo, load, patron, with_channels

CHAT = "clients.acme.projects.bot.chat"
CHANNEL = f"{CHAT}.channels.it"
LOCAL_POC = "http://127.0.0.1:9100/chatclient.aspx?poc=1&bu=2"


def channel_of(folder: Path, settings: object) -> ChatChannelConfig:
    return chat_of(folder, with_channels(it=settings)).channels["it"]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({}, "type"),
        ({"type": "genesys"}, "type"),
        (dfo(brand_id=0), "brand_id"),
        (dfo(brand_id="acme"), "brand_id"),
        (dfo(brand_id=2**70), "brand_id"),
        (dfo(channel_id=""), "channel_id"),
        (dfo(channel_id="chat 1"), "channel_id"),
        (dfo(channel_id="../x"), "channel_id"),
        (dfo(channel_id=".."), "channel_id"),
        (dfo(environment="NA3"), "environment"),
        (dfo(environment=None), "environment"),
        (dfo(environment=None, rest_url="https://a", oauth_url="https://b"), "environment"),
        (dfo(gateway_url="https://a"), "gateway_url"),
        (dfo(gateway_url="wss://a?v=1"), "gateway_url"),
        (dfo(rest_url="wss://a"), "rest_url"),
        (dfo(custom_fields={"a b": "x"}), "custom_fields.a b"),
        (dfo(custom_fields={"a" * 65: "x"}), f"custom_fields.{'a' * 65}"),
        (dfo(custom_fields={"a": "{caller}"}), "custom_fields.a"),
        (dfo(custom_fields={"a": "{headers.X-A}"}), "custom_fields.a"),
        (dfo(box={}), "box"),
        (byoc(box={"client_id": "a"}), "box.client_secret"),
        (byoc(box={"client_id": "a", "client_secret": ""}), "box.client_secret"),
        (byoc(api_url="ftp://a"), "api_url"),
        (patron(poc_url="https://home-c29.nice-incontact.com/x?poc=1"), "poc_url"),
        (patron(poc_url="https://home-c29.nice-incontact.com/x?bu=1&poc="), "poc_url"),
        (patron(poc_url="https://home-c29.nice-incontact.com/x?poc=1&bu=2/"), "poc_url"),
        (patron(poc_url="home-c29.nice-incontact.com/x?poc=1&bu=2"), "poc_url"),
        (patron(poc_url=LOCAL_POC, api_url="http://127.0.0.1:9100/api"), "token_url"),
        (patron(poc_url=LOCAL_POC, token_url="http://127.0.0.1:9100/token"), "api_url"),
        (patron(access_key_secret=""), "access_key_secret"),
        (patron(parameters=["{data.a", "x"]), "parameters[0]"),
        (patron(area="north"), "area"),
        (patron(skill=7), "skill"),
        (patron(hours="all"), "hours"),
        (patron(time_zone="Mars"), "time_zone"),
        (patron(time_zone="../etc"), "time_zone"),
        (patron(time_zone=""), "time_zone"),
    ],
)
def test_a_bad_value_of_a_channel_names_its_key(tmp_path: Path, settings: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_channels(it=settings))
    assert found.startswith(f"{CHANNEL}.{place}: ")
    assert "; " in found


def test_all_errors_of_several_channels_come_at_once(tmp_path: Path) -> None:
    found = config_problems(tmp_path, with_channels(a=dfo(brand_id=0), b=byoc(channel_id=""), c=patron(poc_url="x")))
    assert [problem.partition(": ")[0].removeprefix(f"{CHAT}.") for problem in found] == [
        "channels.a.brand_id",
        "channels.b.channel_id",
        "channels.c.poc_url",
        "default",
    ]


def test_a_text_about_a_bad_url_does_not_show_it(tmp_path: Path) -> None:
    hook = {"url": "http://example.com/hidden", "secret": "0123456789abcdef"}
    content = with_channels({"webhook": hook}, it=patron(poc_url="https://home-c1.example.com/hidden?poc=1"))
    assert not [problem for problem in config_problems(tmp_path, content) if "hidden" in problem]


@pytest.mark.parametrize(
    ("environment", "end"),
    [
        ("NA1", "na1.niceincontact.com"),
        ("eu1", "eu1.niceincontact.com"),
        ("Jp1", "jp1.niceincontact.com"),
        ("AE1", "ae1.nicecxone.com"),
        ("ZA1", "za1.nicecxone.com"),
        ("NA2", "na2.nicecxone-gov.com"),
        ("EU2", "eu2.nicecxone-sov1.eu"),
        ("UK2", "uk2.nicecxone-sov1.uk"),
        ("AU2", "au2.nicecxone-sov1.au"),
    ],
)
def test_the_hosts_of_the_gateway_follow_from_the_environment(tmp_path: Path, environment: str, end: str) -> None:
    channel = channel_of(tmp_path, dfo(environment=environment))
    assert isinstance(channel, DfoChannelConfig)
    assert channel.environment == environment.upper()
    assert channel.gateway == f"wss://chat-gw-de-{end}"
    assert channel.rest == f"https://channels-de-{end}"
    assert channel.oauth == f"https://digital-oauth-de-{end}"


def test_each_url_of_the_gateway_can_be_replaced(tmp_path: Path) -> None:
    urls = {"gateway_url": "ws://127.0.0.1:1/", "rest_url": "http://127.0.0.1:2/", "oauth_url": "https://a/b/"}
    channel = channel_of(tmp_path, {**dfo(**urls), "environment": None})
    assert isinstance(channel, DfoChannelConfig)
    assert (channel.gateway, channel.rest, channel.oauth) == ("ws://127.0.0.1:1", "http://127.0.0.1:2", "https://a/b")


def test_a_brand_id_may_come_from_a_variable(tmp_path: Path) -> None:
    content = with_channels(it=dfo(brand_id="${BRAND}", livechat=True))
    channel = load(tmp_path, content, {"BRAND": "987654321"}).clients["acme"].projects["bot"].chat
    assert channel is not None
    assert isinstance(channel.channels["it"], DfoChannelConfig)
    assert (channel.channels["it"].brand_id, channel.channels["it"].livechat) == (987654321, True)


def test_a_bring_your_own_channel_leaves_its_api_to_the_tenant(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, byoc(custom_fields={"phone": "{customer.phone}"}))
    assert isinstance(channel, ByocChannelConfig)
    assert (channel.channel_id, channel.api_url, channel.box.client_id) == ("sms-1", None, "cxone")
    assert channel.custom_fields == {"phone": ChatTemplate("{customer.phone}")}


@pytest.mark.parametrize(
    ("changes", "api", "token"),
    [
        (
            {},
            "https://api-c29.nice-incontact.com/inContactAPI/services/v12.0",
            "https://na1.nice-incontact.com/authentication/v1/token/access-key",
        ),
        (
            {"poc_url": "https://HOME-B2.incontact.com/InContact/ChatClient/?PoC=a&BU=b", "area": "EU1"},
            "https://api-b2.incontact.com/inContactAPI/services/v12.0",
            "https://eu1.nice-incontact.com/authentication/v1/token/access-key",
        ),
        (
            {"poc_url": LOCAL_POC, "api_url": "http://127.0.0.1:9100/api/", "token_url": "http://127.0.0.1:9100/token"},
            "http://127.0.0.1:9100/api",
            "http://127.0.0.1:9100/token",
        ),
    ],
)
def test_the_urls_of_patron_chat_follow_from_the_point_of_contact(
    tmp_path: Path, changes: dict[str, Any], api: str, token: str
) -> None:
    channel = channel_of(tmp_path, patron(**changes))
    assert isinstance(channel, PatronChannelConfig)
    assert (channel.api, channel.token) == (api, token)


def test_a_point_of_contact_has_its_parts_in_any_case(tmp_path: Path) -> None:
    settings = patron(poc_url="https://home-c29.incontact.com/x.aspx?POC=a%2Db&Bu=456", parameters=["{data.a}", "b"])
    channel = channel_of(tmp_path, settings)
    assert isinstance(channel, PatronChannelConfig)
    assert (channel.poc_url.point_of_contact, channel.poc_url.business_unit) == ("a-b", "456")
    assert channel.poc_url.cluster == ("c29", "incontact.com")
    assert [template.text for template in channel.parameters] == ["{data.a}", "b"]


@pytest.mark.parametrize("name", ["customer.mail", "caller", "contact_id", "headers.X-A", "nothing"])
def test_an_unknown_placeholder_is_an_error_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (found,) = config_problems(tmp_path, with_channels(it=dfo(custom_fields={"a": f"{{{name}}}"})))
    assert found.startswith(f"{CHANNEL}.custom_fields.a: has the unknown name {{{name}}}; ")
    assert "customer.email" in found or "did you mean {" in found
