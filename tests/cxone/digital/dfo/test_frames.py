from __future__ import annotations

from typing import Any

import orjson
import pytest

from sipbridge.chats.model import Attachment
from sipbridge.cxone.digital.dfo.frames import (
    BadFrame,
    ErrorReply,
    Frame,
    FrameMaker,
    Person,
    Pong,
    Push,
    Reply,
    read_frame,
)

PERSON = Person("customer", "visitor", "Ann", "")
MAKER = FrameMaker(1234, "chat_1", PERSON, "thread")


def made(frame: tuple[str, bytes]) -> dict[str, Any]:
    """Read a frame of ours; its event id is the one that was returned."""
    event_id, text = frame
    read: dict[str, Any] = orjson.loads(text)
    assert read["eventId"] == event_id
    return read


def test_every_frame_has_the_ids_of_the_chat() -> None:
    frame = made(MAKER.recover(livechat=False))
    assert frame["action"] == "chatWindowEvent"
    assert frame["payload"] == {
        "eventType": "RecoverThread",
        "brand": {"id": 1234},
        "channel": {"id": "chat_1"},
        "consumerIdentity": {"idOnExternalPlatform": "customer", "firstName": "Ann"},
        "visitor": {"id": "visitor"},
        "destination": {"id": "visitor"},
        "visit": {},
        "data": {"thread": {"idOnExternalPlatform": "thread"}},
    }


def test_event_ids_differ() -> None:
    assert len({MAKER.recover(livechat=True)[0] for _ in range(100)}) == 100


def test_only_the_authorization_registers() -> None:
    frame = made(MAKER.authorize())
    assert frame["action"] == "register"
    assert frame["payload"]["data"]["authorization"] == {"authorizationCode": None}


def test_message_carries_text_fields_attachments_and_token() -> None:
    frame = made(
        MAKER.message(
            "m1",
            "Hello",
            [
                Attachment(url="https://cxone/1", name="a.png", media_type="image/png"),
                Attachment(url="https://cxone/2"),
            ],
            fields={"reason": "billing"},
            token="t",
            opens=True,
        )
    )
    assert frame["payload"]["data"] == {
        "thread": {"idOnExternalPlatform": "thread"},
        "messageContent": {
            "type": "TEXT",
            "payload": {"text": "Hello"},
            "parameters": {"isInitialMessage": True},
        },
        "idOnExternalPlatform": "m1",
        "consumer": {"customFields": []},
        "consumerContact": {"customFields": [{"ident": "reason", "value": "billing"}]},
        "attachments": [
            {"url": "https://cxone/1", "friendlyName": "a.png", "mimeType": "image/png"},
            {"url": "https://cxone/2", "friendlyName": ""},
        ],
        "browserFingerprint": {},
        "accessToken": {"token": "t"},
    }


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (MAKER.reconnect(None), {}),
        (MAKER.reconnect("t"), {"accessToken": {"token": "t"}}),
        (MAKER.refresh_token("t"), {"accessToken": {"token": "t"}}),
        (MAKER.end_contact("7"), {"thread": {"idOnExternalPlatform": "thread"}, "contact": {"id": "7"}}),
        (
            MAKER.load_more("s", "2026"),
            {"thread": {"idOnExternalPlatform": "thread"}, "scrollToken": "s", "oldestMessageDatetime": "2026"},
        ),
        (MAKER.authorize_url("/x"), {"thread": {"idOnExternalPlatform": "thread"}, "url": "/x"}),
    ],
)
def test_data_of_the_other_events(frame: tuple[str, bytes], data: object) -> None:
    assert made(frame)["payload"]["data"] == data


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (b'"pong"', Pong()),
        (b'{"eventId":"1","postback":{"eventType":"X","data":{"a":1}}}', Reply("1", "X", {"a": 1})),
        (b'{"eventId":"1","postback":{}}', Reply("1", "", {})),
        (b'{"eventId":"1"}', Reply("1", "", {})),
        (b'{"eventId":"1","error":{"errorCode":"Bad"}}', ErrorReply("1", "Bad")),
        (b'{"eventId":"1","error":{}}', ErrorReply("1", "unknown")),
        (b'{"error":{"errorCode":"Bad"},"postback":{}}', ErrorReply("", "Bad")),
        (b'{"message":"Forbidden","connectionId":"c","requestId":"r"}', ErrorReply("", "gateway_error")),
        (b'{"eventId":"1","eventType":"CaseCreated","data":{"case":{}}}', Push("CaseCreated", {"case": {}})),
        (b'{"eventType":"X","data":7}', Push("X", {})),
    ],
)
def test_frame_of_the_gateway_is_read(text: bytes, frame: Frame) -> None:
    assert read_frame(text) == frame


@pytest.mark.parametrize("text", [b"", b"no json", b"[]", b"null", b"7", b'"ping"', b"{}", b"\xff"])
def test_frame_that_cannot_be_read_is_an_error_that_quotes_nothing(text: bytes) -> None:
    with pytest.raises(BadFrame, match=r"^a frame (is not|names no)"):
        read_frame(text)


def test_event_whose_s3_object_is_outside_of_its_data_is_read() -> None:
    frame = read_frame(b'{"eventType":"EventInS3","s3Object":{"url":"https://s3/1"}}')
    assert isinstance(frame, Push)
    assert frame.data["s3Object"] == {"url": "https://s3/1"}
