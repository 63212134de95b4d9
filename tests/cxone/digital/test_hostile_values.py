"""Values of CXone that no bot, no log and no header may get, and that no parser may fail on."""

from __future__ import annotations

import orjson
import pytest

from sipbridge.cxone.digital.content import agent_message, human_agent, make_agent
from sipbridge.cxone.digital.dfo.frames import BadFrame, ErrorReply, read_frame
from sipbridge.cxone.digital.values import seconds_of


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anna\r\nSet-Cookie: a=b", "Anna Set-Cookie: a=b"),
        ("\x00\x1b[31mAnna\x7f\x85\u2028B", "[31mAnna B"),
        ("A" * 1_000_000, "A" * 256),
        ("\n", None),
        ("", None),
        ("Zoë <b>", "Zoë <b>"),
    ],
)
def test_name_of_a_human_agent_is_one_short_line(name: str, shown: str | None) -> None:
    assert make_agent("7", name).name == shown
    agent = human_agent({"id": "7" * 1000, "nickname": name})
    assert agent is not None
    assert (agent.name, len(agent.id)) == (shown, 256)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//host/x", "ftp://h/x", "https://h/a b", "https://h/\n", "", 7]
)
def test_only_urls_of_the_web_reach_the_page_of_a_bot(url: object) -> None:
    agent = human_agent({"id": 7, "nickname": "Anna", "imageUrl": url})
    assert agent is not None
    assert agent.avatar_url is None
    content = {"type": "TEXT", "payload": {"text": "see"}}
    message = agent_message(
        {"id": "m", "messageContent": content, "attachments": [{"url": url}, {"url": "HTTPS://h/x"}]}
    )
    assert message is not None
    assert [each.url for each in message.attachments] == ["HTTPS://h/x"]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 10**400, 1e308, True, "60", None, [], {}])
def test_impossible_number_of_seconds_is_none(value: object) -> None:
    assert seconds_of(value) is None


def test_possible_number_of_seconds() -> None:
    assert (seconds_of(3600), seconds_of(0.5), seconds_of(0)) == (3600.0, 0.5, 0.0)


@pytest.mark.parametrize("code", ["x" * 1_000_000, "two words", "a\nb", "<b>", "", None, 7.5, {"a": 1}])
def test_code_of_an_error_that_is_not_a_word_does_not_reach_the_log(code: object) -> None:
    frame = read_frame(orjson.dumps({"eventId": "e", "error": {"errorCode": code}}))
    assert frame == ErrorReply("e", "unknown")


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"eventId": 1e999}',
        b"\xff\xfe",
        b"",
        b"[]",
        b"{}",
        b'"ping"',
        b"null",
        b'{"eventType": {"a": 1}, "data": []}',
    ],
)
def test_frame_that_cannot_be_read_is_a_fault_and_quotes_nothing(payload: bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        read_frame(payload)
    assert len(str(caught.value)) < 60
