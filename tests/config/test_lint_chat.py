from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import find_warnings

from .files import byoc, dfo, load, patron, with_channels, with_chat

CHAT = "clients.acme.projects.bot.chat"
PUBLIC: dict[str, Any] = {"public_url": "https://pop.example.com", "pop_link_secret": "0123456789abcdef"}


def warnings(folder: Path, content: dict[str, Any], **http: Any) -> list[str]:  # noqa: ANN401 (keys of http)
    return find_warnings(load(folder, {**content, "http": PUBLIC | http}))


def test_channels_over_encrypted_connections_get_no_warning(tmp_path: Path) -> None:
    webhook = {"url": "https://bot.example.com", "secret": "0123456789abcdef"}
    settings = {"default": "web", "webhook": webhook, "attachment_hosts": ["*.example.com"]}
    assert warnings(tmp_path, with_channels(settings, web=dfo(), sms=byoc(), legacy=patron())) == []


@pytest.mark.parametrize(
    ("channel", "key"),
    [
        (dfo(gateway_url="ws://example.com"), "gateway_url"),
        (dfo(rest_url="http://example.com"), "rest_url"),
        (dfo(oauth_url="http://example.com"), "oauth_url"),
        (byoc(api_url="http://example.com/dfo/3.0"), "api_url"),
        (patron(api_url="http://example.com"), "api_url"),
        (patron(token_url="http://example.com"), "token_url"),
        (dfo(channel_id="6ab1c9d2"), "channel_id"),
        (patron(poc_url="https://home-c29.incontact.com/x?poc=1&bu=2&P1=x"), "poc_url"),
        (byoc(box={"client_id": "a", "client_secret": "guessable"}), "box.client_secret"),
    ],
)
def test_an_unsafe_or_doubtful_channel_gets_a_warning(tmp_path: Path, channel: dict[str, Any], key: str) -> None:
    (found,) = warnings(tmp_path, with_channels(it=channel))
    assert found.startswith(f"{CHAT}.channels.it.{key}: ")
    assert "guessable" not in found


def test_plain_urls_of_this_machine_get_no_warning(tmp_path: Path) -> None:
    local = dfo(gateway_url="ws://127.0.0.1:1", rest_url="http://localhost:1", oauth_url="http://[::1]:1")
    assert warnings(tmp_path, with_channels(it=local)) == []


def test_boxes_with_one_secret_get_a_warning_that_does_not_show_it(tmp_path: Path) -> None:
    content = with_channels({"default": "a"}, a=byoc(), b=byoc(channel_id="sms-2"))
    (found,) = warnings(tmp_path, content)
    assert found.startswith(f"{CHAT}.channels.b.box.client_secret: is also the secret of {CHAT}.channels.a.box.")
    assert byoc()["box"]["client_secret"] not in found


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [("http://bridge.example.com", True), ("https://bridge.example.com", False), ("http://127.0.0.1:8080", False)],
)
def test_a_box_behind_an_unencrypted_public_url_gets_a_warning(tmp_path: Path, url: str, *, is_warned: bool) -> None:
    found = warnings(tmp_path, with_channels(sms=byoc()), public_url=url)
    assert [line.partition(": ")[0] for line in found] == ["http.public_url"] * is_warned
    assert warnings(tmp_path, with_channels(web=dfo()), public_url=url) == []


@pytest.mark.parametrize(
    ("url", "allowed", "is_warned"),
    [
        ("https://10.0.0.5/x", False, True),
        ("https://[fd00::1]/x", False, True),
        ("https://10.0.0.5/x", True, False),
        ("http://127.0.0.1/x", False, False),
        ("https://bot.example.com/x", False, False),
    ],
)
def test_a_webhook_that_is_never_sent_gets_a_warning(
    tmp_path: Path, url: str, *, allowed: bool, is_warned: bool
) -> None:
    webhook = {"url": url, "secret": "0123456789abcdef"}
    found = warnings(tmp_path, with_chat(webhook=webhook, allow_private_addresses=allowed))
    assert [line.partition(": ")[0] for line in found] == [f"{CHAT}.webhook.url"] * is_warned
    project = CHAT.removesuffix(".chat")
    content = with_chat()
    content["clients"]["acme"]["projects"]["bot"]["webhook"] = webhook | {"allow_private_addresses": allowed}
    found = warnings(tmp_path, content)
    assert [line.partition(": ")[0] for line in found] == [f"{project}.webhook.url"] * is_warned


def test_a_whole_top_level_domain_of_attachments_gets_a_warning(tmp_path: Path) -> None:
    (found,) = warnings(tmp_path, with_chat(attachment_hosts=["*.example.com", "*.com"]))
    assert found.startswith(f"{CHAT}.attachment_hosts[1]: ")


def test_links_in_custom_fields_need_what_links_in_signals_need(tmp_path: Path) -> None:
    content = with_channels(web=dfo(custom_fields={"link": "{pop_url}"}))
    found = warnings(tmp_path, content, public_url="http://127.0.0.1:8080", pop_link_secret=None)
    assert [line.partition(": ")[0] for line in found] == ["http.public_url", "http.pop_link_secret"]
