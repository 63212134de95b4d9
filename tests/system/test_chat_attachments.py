"""Attachments both ways."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.harness.web.http import fetch

from .chat_site import ChatSite

FILES = {
    "/photo.png": ("image/png", b"\x89PNG" + bytes(5000)),
    "/large.png": ("image/png", bytes(1_100_000)),
    "/huge.png": ("image/png", bytes(5 * 1024 * 1024 + 1)),
    "/program.exe": ("application/x-msdownload", b"MZ"),
    "/empty.png": ("image/png", b""),
}


class _Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved.png":
            self.send_response(302)
            self.send_header("Location", "/photo.png")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        media_type, content = FILES.get(self.path, ("", b""))
        self.send_response(200 if media_type else 404)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """The URL of a server of files."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("channel", ["messaging", "images"])
def test_file_of_the_customer_reaches_the_human_agent(chats: ChatSite, files: str, channel: str) -> None:
    chat = chats.active(channel)
    chat.say("See the photo", id="m1", attachments=[{"url": f"{files}/photo.png", "name": "photo.png"}])
    assert chat.event("message_delivered") == {"id": "m1"}
    (_, message) = chats.desk.messages(chat.conversation, direction="inbound", wait_for=2)
    (attachment,) = message["attachments"]
    assert (attachment["name"], attachment["media_type"]) == ("photo.png", "image/png")
    assert attachment["url"].startswith(chats.cxone.url)  # the content is at CXone, not a link to the bot
    content = fetch(attachment["url"]).body
    assert hashlib.sha256(content).digest() == hashlib.sha256(FILES["/photo.png"][1]).digest()


def test_file_of_the_human_agent_reaches_the_bot(chats: ChatSite, files: str) -> None:
    chat = chats.active()
    given = {"url": f"{files}/photo.png", "name": "photo.png", "media_type": "image/png"}
    chats.desk.act(chat.conversation, "messages", attachments=[given])
    event = chat.event("agent_message")
    assert (event["text"], event["attachments"]) == ("", [given])


@pytest.mark.parametrize(
    ("channel", "file", "reason"),
    [
        ("images", "large.png", "attachment_too_large"),
        ("messaging", "huge.png", "attachment_too_large"),
        ("images", "program.exe", "attachment_forbidden"),
        ("bare", "photo.png", "attachment_forbidden"),
        ("messaging", "missing.png", "attachment_unavailable"),
        ("messaging", "empty.png", "attachment_unavailable"),
        ("messaging", "moved.png", "attachment_unavailable"),
    ],
)
def test_file_that_cannot_be_handed_over_fails_its_message_only(
    chats: ChatSite, files: str, channel: str, file: str, reason: str
) -> None:
    chat = chats.active(channel)
    chat.say("See", id="m1", attachments=[{"url": f"{files}/{file}"}])
    chat.say("Hello", id="m2")
    assert chat.event("message_failed", seconds=20) == {"id": "m1", "delivery": "failed", "reason": reason}
    assert chat.event("message_delivered") == {"id": "m2"}
    assert chat.at_desk(1) == ["Hello"]


def test_type_that_the_channel_refuses_at_the_upload_fails_the_message(chats: ChatSite, files: str) -> None:
    chat = chats.active()
    chats.cxone.fail("chat_attachment", status=400)
    chat.say("See", id="m1", attachments=[{"url": f"{files}/photo.png"}])
    assert chat.event("message_failed")["reason"] == "attachment_refused"


def test_upload_that_fails_at_cxone_fails_the_message(chats: ChatSite, files: str) -> None:
    chat = chats.active()
    chats.cxone.fail("chat_attachment", status=503)
    chat.say("See", id="m1", attachments=[{"url": f"{files}/photo.png"}])
    assert chat.event("message_failed")["reason"] == "attachment_unavailable"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/photo.png", "https://files.example.com.evil.test/x"])
def test_file_from_a_host_that_is_not_allowed_is_never_fetched(chats: ChatSite, url: str) -> None:
    chat = chats.active(project="strict")
    chat.say("See", id="m1", attachments=[{"url": url}])
    assert chat.event("message_failed")["reason"] == "attachment_forbidden"


def test_link_that_is_not_http_is_refused(chats: ChatSite) -> None:
    chat = chats.active()
    assert chat.post("messages", {"attachments": [{"url": "file:///x"}]}) == 422
