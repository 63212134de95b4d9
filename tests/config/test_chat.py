from __future__ import annotations

from pathlib import Path

import pytest

from .files import byoc, chat_of, client, config_problems, dfo, load, project, tree, with_channels, with_chat

CHAT = "clients.acme.projects.bot.chat"


def test_the_smallest_section_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    chat = chat_of(tmp_path, with_chat())
    assert (chat.default, chat.default_channel, list(chat.channels)) == (None, "web", ["web"])
    assert (chat.transcript.count, chat.show_agent) == (None, False)
    assert (chat.inactivity_seconds, chat.inactivity_warning_seconds) == (240, 60)
    assert (chat.max_chat_seconds, chat.queue_timeout_seconds) == (3600, 120)
    assert (chat.attachment_hosts, chat.allow_private_addresses, chat.webhook) == ((), False, None)
    assert chat.closing_text == "The customer has been inactive; this chat was closed."
    assert chat.leaving_text == "The chat has ended."
    assert chat.opening_text == "Chat handed over by the bot."


@pytest.mark.parametrize(("written", "count"), [("all", None), ("none", 0), ({"last": 10}, 10)])
def test_the_transcript_is_written_as_a_word_or_a_number_of_turns(tmp_path: Path, written: object, count: int) -> None:
    assert chat_of(tmp_path, with_chat(transcript=written)).transcript.count == count


def test_a_limit_may_be_null(tmp_path: Path) -> None:
    chat = chat_of(tmp_path, with_chat(inactivity_seconds=None, queue_timeout_seconds=None))
    assert (chat.inactivity_seconds, chat.queue_timeout_seconds) == (None, None)
    without_warning = chat_of(tmp_path, with_chat(inactivity_seconds=10, inactivity_warning_seconds=None))
    assert without_warning.inactivity_warning_seconds is None


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("channels", {}, ""),
        ("channels", {"a/b": dfo()}, ".a/b"),
        ("default", "wep", ""),
        ("transcript", "some", ""),
        ("transcript", None, ""),
        ("transcript", 10, ""),
        ("transcript", {"last": -1}, ".last"),
        ("transcript", {}, ".last"),
        ("transcript", {"last": 1, "first": 2}, ".first"),
        ("show_agent", "maybe", ""),
        ("inactivity_seconds", 0, ""),
        ("inactivity_warning_seconds", 240, ""),
        ("max_chat_seconds", None, ""),
        ("queue_timeout_seconds", "never", ""),
        ("attachment_hosts", ["*"], "[0]"),
        ("attachment_hosts", ["https://example.com"], "[0]"),
        ("attachment_hosts", ["files.*.com"], "[0]"),
        ("allow_private_addresses", 5, ""),
        ("webhook", {"url": "http://example.com/x", "secret": "0123456789abcdef"}, ".url"),
        ("webhook", {"url": "ftp://example.com/x", "secret": "0123456789abcdef"}, ".url"),
        ("webhook", {"url": "https://u:p@example.com/x", "secret": "0123456789abcdef"}, ".url"),
        ("webhook", {"url": "https://example.com/x", "secret": "short"}, ".secret"),
        ("webhook", {"url": "https://example.com/x"}, ".secret"),
        ("webhook", {"url": "https://a.com", "secret": "0123456789abcdef", "uri": "x"}, ".uri"),
        ("closing_text", "", ""),
        ("opening_text", "a\nb", ""),
        ("chanels", {}, ""),
    ],
)
def test_a_bad_value_of_a_chat_names_its_key(tmp_path: Path, key: str, value: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_chat(**{key: value}))
    assert found.startswith(f"{CHAT}.{key}{place}: ")
    assert "; " in found


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("files.example.com", True),
        ("Files.Example.com.", True),
        ("cdn.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("evilexample.net", False),
        ("files.example.com.evil.org", False),
        ("192.0.2.1", True),
        ("192.0.2.10", False),
        ("", False),
    ],
)
def test_attachments_come_only_from_the_hosts_that_are_named(tmp_path: Path, host: str, *, allowed: bool) -> None:
    chat = chat_of(tmp_path, with_chat(attachment_hosts=["files.Example.com", "*.example.net.", "192.0.2.1"]))
    assert chat.allows_attachments_of(host) is allowed


def test_no_host_is_allowed_unless_named(tmp_path: Path) -> None:
    assert not chat_of(tmp_path, with_chat()).allows_attachments_of("example.com")


@pytest.mark.parametrize("url", ["https://bot.example.com/x?y=z", "http://127.0.0.1:8000/x", "http://localhost/x"])
def test_a_webhook_is_encrypted_unless_it_is_on_this_machine(tmp_path: Path, url: str) -> None:
    chat = chat_of(tmp_path, with_chat(webhook={"url": url, "secret": "0123456789abcdef"}))
    assert chat.webhook is not None
    assert chat.webhook.url == url


def test_several_channels_need_a_default(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, with_channels(web=dfo(), sms=byoc()))
    assert found == f"{CHAT}.default: is missing; name one of the channels web, sms"
    assert chat_of(tmp_path, with_channels({"default": "sms"}, web=dfo(), sms=byoc())).default_channel == "sms"
    (found,) = config_problems(tmp_path, with_channels({"default": "wep"}, web=dfo(), sms=byoc()))
    assert found == f"{CHAT}.default: 'wep' is not defined; did you mean web?"


def test_a_bring_your_own_channel_is_given_once_per_client(tmp_path: Path) -> None:
    both = [{"chat": {"channels": {"sms": byoc()}}}, {"chat": {"channels": {"text": byoc(api_url=None)}}}]
    content = tree(clients={"acme": client(projects={"one": both[0], "two": both[1]})})
    (found,) = config_problems(tmp_path, content)
    first = "clients.acme.projects.one.chat.channels.sms"
    place = "clients.acme.projects.two.chat.channels.text.channel_id"
    assert found == f"{place}: is also the channel of {first}; give each channel once"
    other_box = byoc()["box"] | {"client_secret": "secret-of-another-box"}
    elsewhere = byoc(api_url="https://api-de-eu1.niceincontact.com/dfo/3.0", box=other_box)
    load(tmp_path, with_channels({"default": "a"}, a=byoc(), b=elsewhere, c=dfo(), d=dfo()))
    zeta = client(pseudo_numbers=["2"], projects={"one": both[0]})
    load(tmp_path, tree(clients={"acme": client(projects={"one": both[0]}), "zeta": zeta}))


def test_a_project_may_have_a_voice_agent_and_chats(tmp_path: Path) -> None:
    content = tree(clients={"acme": client(projects={"bot": project(chat={"channels": {"web": dfo()}})})})
    assert chat_of(tmp_path, content).default_channel == "web"
