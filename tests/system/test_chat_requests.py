"""Requests of a bot that cannot be carried out, and those that are repeated."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.program import Program
from tests.harness.settings import key

from .chat_site import CLIENT, ChatSite

WRONG_CHANNELS = """\
clients:
  acme:
    projects:
      support:
        api_keys: [key-of-support-0001]
        chat:
          channels:
            nowhere: {type: dfo, brand_id: 1234, channel_id: chat_1, environment: XX9}
            nobody: {type: dfo, brand_id: nine, channel_id: "", environment: NA1}
            legacy: {type: patron, poc_url: "https://home-c29.incontact.com/chatclient.aspx?poc=1", access_key_id: a}
            sms: {type: byoc, channel_id: chat_2}
"""


def test_repeated_start_gives_the_same_response_and_another_body_is_a_conflict(chats: ChatSite) -> None:
    chat = chats.start()
    body = {"id": chat.id, "channel": "messaging", "utterance": f"This is {chat.id}."}
    repeated = chat.project.request("chats", "POST", body)
    assert (repeated.status, repeated.json()["id"]) == (202, chat.id)
    assert chat.project.request("chats", "POST", {**body, "reason": "other"}).status == 409
    chat.event("handoff_accepted")
    assert len(chats.desk.chats(contains=chat.id)) == 1


def test_repeated_message_arrives_once_and_another_text_is_a_conflict(chats: ChatSite) -> None:
    chat = chats.active()
    for _ in range(3):
        chat.say("Hello", id="m1")
    assert chat.post("messages", {"id": "m1", "text": "Good bye"}) == 409
    chat.say("Done", id="m2")
    assert chat.at_desk(2) == ["Hello", "Done"]


def test_ended_chat_takes_no_message_and_no_typing(chats: ChatSite) -> None:
    chat = chats.active()
    chats.desk.close(chat.conversation)
    chat.ended()
    for what, body in (("messages", {"text": "Hello"}), ("typing", {"state": "started"}), ("end", {})):
        response = chat.project.request(f"chats/{chat.id}/{what}", "POST", body)
        assert (response.status, response.json()["error_message"]) == (409, "the chat has ended")


@pytest.mark.parametrize("what", ["messages", "typing", "end", "events", ""])
def test_unknown_chat_is_not_found(chats: ChatSite, what: str) -> None:
    body = {"messages": {"text": "Hello"}, "typing": {"state": "started"}, "end": {}}.get(what)
    path = f"chats/nobody/{what}".rstrip("/")
    assert chats.project().request(path, "POST" if body is not None else "GET", body).status == 404


def test_text_over_the_limit_is_refused(chats: ChatSite) -> None:
    chat = chats.active()
    assert chat.post("messages", {"text": "x" * 10_001}) == 422
    assert chat.post("messages", {"text": " "}) == 422
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]


def test_body_of_2_megabytes_is_too_large(chats: ChatSite) -> None:
    chat = chats.active()
    parts = urlsplit(chat.project.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.putrequest("POST", f"{parts.path}/chats/{chat.id}/messages")
    connection.putheader("x-api-key", chat.project.key)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(2_000_000))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    chat.say("Hello")
    assert chat.at_desk(1) == ["Hello"]


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "nowhere"},
        {"utterance": "Hello", "handoff": {"text_chat": {"other_integration": {}}}},
        {"transcript": [{"role": "robot", "text": "x"}]},
        {"id": "no spaces allowed"},
        {"unknown": 1},
    ],
)
def test_invalid_start_is_refused_with_a_reason(chats: ChatSite, body: dict[str, object]) -> None:
    response = chats.project().request("chats", "POST", body)
    assert response.status == 422
    assert response.json()["error_message"]


def test_key_of_another_project_reaches_no_chat(chats: ChatSite) -> None:
    chat = chats.active()
    stranger = chats.bridge.project(CLIENT, "support", key("strict"))
    for path, method, body in (
        (f"chats/{chat.id}", "GET", None),
        (f"chats/{chat.id}/messages", "POST", {"text": "Hello"}),
        (f"chats/{chat.id}/events", "GET", None),
        ("chats/nobody", "GET", None),
    ):
        assert stranger.request(path, method, body).status == 403
    assert chats.project("strict").request(f"chats/{chat.id}").status == 404


def test_polyai_result_starts_a_chat(chats: ChatSite) -> None:
    body = {"utterance": "I connect you, chat by PolyAI.", "handoff": {"text_chat": {"nice_integration": {}}}}
    response = chats.project("patient").request("chats", "POST", body)
    assert response.status == 202
    chat = response.json()["id"]
    assert chats.desk.chat(contains="chat by PolyAI.")
    assert chats.project("patient").request(f"chats/{chat}/end", "POST", {}).status == 202


def test_all_errors_of_chat_channels_are_reported_at_once(tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text(WRONG_CHANNELS)
    with Program([SIPBRIDGE, "check", config], tmp_path / "errors") as program:
        assert program.wait() == 1
    errors = program.log.read_text() + "\n".join(program.output)
    for word in ("nowhere", "environment", "nobody", "brand_id", "legacy", "bu", "access_key_secret", "sms", "box"):
        assert word in errors
