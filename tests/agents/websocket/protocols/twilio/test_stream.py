"""The messages of a conversation in both directions."""

from __future__ import annotations

import base64
import json

import pytest
from picows import WSMsgType

from sipbridge.agents.websocket.protocols.twilio import stream
from sipbridge.errors import HandoffConflict, HandoffInvalid
from tests.agents.websocket.support import CALL_ID, FRAME, AgentSocket, Site


async def _start_stream(site: Site) -> AgentSocket:
    return (await site.start_stream())[2]


# ------------------------------------------------------------ to the agent


async def test_the_callers_audio_is_sent_in_messages_of_20_ms(site: Site) -> None:
    agent = await _start_stream(site)
    site.audio.turn(b"\x01" * 160)
    site.audio.turn(b"\x02" * 160 + b"\x03" * 160)
    said = [(await agent.next("media"))["media"] for _ in range(3)]
    assert [base64.b64decode(media["payload"])[:1] for media in said] == [b"\x01", b"\x02", b"\x03"]
    assert [(media["chunk"], media["timestamp"]) for media in said] == [("1", "0"), ("2", "20"), ("3", "40")]


async def test_a_dtmf_digit_of_the_caller_is_sent(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    conversation.send_digit("#")
    assert (await agent.next("dtmf"))["dtmf"] == {"track": "inbound_track", "digit": "#"}


async def test_a_dtmf_digit_sent_during_ringing_is_dropped(site: Site) -> None:
    conversation, agent = await site.connect()
    conversation.send_digit("1")
    await conversation.close(None)
    await agent.closed
    assert agent.unread.empty()


# ------------------------------------------------------------ from the agent


@pytest.mark.parametrize("length", [1, 160, 80_000])
async def test_audio_of_any_length_is_queued_for_the_caller(site: Site, length: int) -> None:
    agent = await _start_stream(site)
    speech = bytes(index % 251 for index in range(length))
    agent.send_audio(speech)
    await agent.settle()
    assert site.audio.audio == speech
    assert site.call.faults == []


async def test_a_mark_is_returned_when_the_audio_before_it_was_played(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_audio(b"a" * 320)
    agent.send_event("mark", mark={"name": "first"})
    agent.send_audio(b"b" * 160)
    agent.send_event("mark", mark={"name": "second"})
    await agent.settle()
    site.audio.turn()
    await agent.next("media")
    await agent.settle()
    assert agent.unread.empty()
    site.audio.turn()
    await agent.next("media")
    assert (await agent.next("mark"))["mark"] == {"name": "first"}
    site.audio.turn()
    await agent.next("media")
    assert (await agent.next("mark"))["mark"] == {"name": "second"}


async def test_a_mark_without_audio_before_it_is_returned_at_once(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_event("mark", mark={"name": "now"})
    assert (await agent.next("mark"))["mark"] == {"name": "now"}


async def test_clear_drops_the_audio_and_returns_all_marks_in_order(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_audio(b"a" * 16_000)
    agent.send_event("mark", mark={"name": "first"})
    agent.send_audio(b"a" * 16_000)
    agent.send_event("mark", mark={"name": "second"})
    agent.send_event("clear")
    assert (await agent.next("mark"))["mark"]["name"] == "first"
    assert (await agent.next("mark"))["mark"]["name"] == "second"
    assert site.audio.clears == 1


async def test_after_clear_marks_wait_for_later_audio(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_audio(b"a" * 16_000)
    agent.send_event("clear")
    agent.send_audio(b"b" * 160)
    agent.send_event("mark", mark={"name": "since"})
    await agent.settle()
    assert agent.unread.empty()
    site.audio.turn()
    await agent.next("media")
    await agent.next("mark")


# ------------------------------------------------------------ handoff


async def test_a_handoff_is_requested_and_gets_a_response(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_event("handoff", handoff={"destination": "sales", "data": {"order": 7}})
    answer = await agent.next("handoff")
    assert answer == {
        "event": "handoff",
        "sequenceNumber": "2",
        "streamSid": agent.stream_sid,
        "handoff": {"id": CALL_ID, "state": "handoff_initiated"},
    }
    ((request, requested_by),) = site.call.requests
    assert (request.destination, request.data, requested_by) == ("sales", {"order": 7}, "agent")


async def test_null_fields_and_foreign_roles_in_a_handoff_are_accepted_as_in_http(site: Site) -> None:
    _, _, agent = await site.start_stream()
    turns = [{"role": "user", "text": "A person, please.", "at": None}, {"role": "assistant", "text": "Of course."}]
    agent.send_event("handoff", handoff={"destination": None, "data": None, "reason": "asked", "transcript": turns})
    assert (await agent.next("handoff"))["handoff"]["state"] == "handoff_initiated"
    ((request, _),) = site.call.requests
    assert (request.destination, request.reason, request.data) == (None, "asked", {})
    assert [turn.role for turn in request.transcript] == ["caller", "agent"]


async def test_a_second_handoff_gets_a_conflict_and_the_call_continues(site: Site) -> None:
    _, running, agent = await site.start_stream()
    site.call.refusing = HandoffConflict("the call is handed off already")
    agent.send_event("handoff", handoff={})
    assert (await agent.next("handoff"))["handoff"] == {
        "status": 409,
        "error_message": "the call is handed off already",
        "code": "conflict",
    }
    assert site.call.faults == []
    assert not running.done()


async def test_an_invalid_handoff_gets_an_error_and_the_call_continues(site: Site) -> None:
    _, running, agent = await site.start_stream()
    site.call.refusing = HandoffInvalid("no such destination")
    agent.send_event("handoff", handoff={"destination": "moon"})
    assert (await agent.next("handoff"))["handoff"] == {
        "status": 422,
        "error_message": "no such destination",
        "code": "invalid_handoff",
    }
    assert site.call.faults == ["bad_handoff"]
    assert not running.done()


@pytest.mark.parametrize(
    ("handoff", "field"),
    [
        ({"parameters": {"p10": "secret"}}, "p10"),
        ({"parameters": {"p4": "secret" * 20_000}}, "parameters.p4"),
        ({"data": {"key": "secret" * 20_000}}, "data"),
        ({"sip_headers": {"X-A": "secret\r\nX-B: c"}}, "sip_headers.X-A"),
        ({"destination": 7}, "destination"),
        ("secret", "handoff"),
        (None, "handoff"),
    ],
)
async def test_a_malformed_handoff_names_the_field_and_quotes_nothing(site: Site, handoff: object, field: str) -> None:
    _, running, agent = await site.start_stream()
    agent.send_event("handoff", handoff=handoff)
    answer = (await agent.next("handoff"))["handoff"]
    assert (answer["status"], answer["code"]) == (422, "invalid_request")
    assert "Input" not in answer["error_message"]
    assert field in answer["error_message"]
    assert "secret" not in answer["error_message"]
    assert site.call.faults == ["bad_handoff"]
    assert site.call.requests == []
    assert not running.done()


async def test_a_handoff_nested_too_deeply_is_refused(site: Site) -> None:
    agent = await _start_stream(site)
    nested = "[" * 500 + "]" * 500
    message = f'{{"event":"handoff","streamSid":"{agent.stream_sid}","handoff":{{"data":{{"a":{nested}}}}}}}'
    agent.transport.send(WSMsgType.TEXT, message)
    assert (await agent.next("handoff"))["handoff"]["status"] == 422
    assert site.call.faults == ["bad_handoff"]


@pytest.mark.parametrize("stream_sid", ['"streamSid":null,', '"callSid":"CA1",', ""])
@pytest.mark.parametrize("event", ["handoff", "Handoff", "hand_off"])
async def test_a_handoff_need_not_name_the_stream_and_its_event_may_be_spelled_otherwise(
    site: Site, stream_sid: str, event: str
) -> None:
    agent = await _start_stream(site)
    message = f'{{"event":"{event}",{stream_sid}"handoff":{{"destination":"sales"}}}}'
    agent.transport.send(WSMsgType.TEXT, message.encode())
    assert (await agent.next("handoff"))["handoff"]["state"] == "handoff_initiated"
    assert [request.destination for request, _ in site.call.requests] == ["sales"]


@pytest.mark.parametrize("stream_sid", ['"MZ00000000000000000000000000000000"', '""', "7", "[]"])
async def test_a_handoff_for_another_stream_is_refused(site: Site, stream_sid: str) -> None:
    agent = await _start_stream(site)
    message = f'{{"event":"handoff","streamSid":{stream_sid},"handoff":{{}}}}'
    agent.transport.send(WSMsgType.TEXT, message.encode())
    answer = (await agent.next("handoff"))["handoff"]
    assert (answer["status"], answer["code"]) == (422, "invalid_request")
    assert "streamSid" in answer["error_message"]
    assert site.call.refusals == ["streamSid is not that of this stream"]
    assert site.call.requests == []


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        (WSMsgType.TEXT, b'{"event":"handoff","handoff":{"data":{"score":NaN}}}', "invalid_json"),
        (WSMsgType.TEXT, b'{"event": "handoff", "handoff": {"data": {"score": -Infinity}}}', "invalid_json"),
        (WSMsgType.TEXT, b'{"event":"handoff","handoff":{"utterance":"\\ud83d"}}', "invalid_json"),
        (WSMsgType.TEXT, b'{"event":"handoff","handoff":{"utterance":"\xff"}}', "invalid_json"),
        (WSMsgType.TEXT, b'{"event":"handoff","handoff":{"destination":"care",}}', "invalid_json"),
        (WSMsgType.TEXT, b'{"handoff":{"data":NaN},"event":"Handoff"}', "invalid_json"),
        (WSMsgType.TEXT, b"{'event': 'handoff', 'handoff': {}}", "invalid_json"),
        (WSMsgType.TEXT, b'{event: "handoff"}', "invalid_json"),
        (WSMsgType.TEXT, b'\xef\xbb\xbf{"event":"handoff"}', "invalid_json"),
        (WSMsgType.TEXT, b'{"event":"handoff","handoff":{"destination":', "invalid_json"),
        (WSMsgType.TEXT, b'{"event":"handoff', "invalid_json"),
        (WSMsgType.TEXT, b'"{\\"event\\":\\"handoff\\"}"', "invalid_request"),
        (WSMsgType.TEXT, b'[{"event":"handoff"}]', "invalid_request"),
        (WSMsgType.TEXT, b'{"handoff":{"destination":"care"}}', "invalid_request"),
        (WSMsgType.BINARY, b'{"event":"handoff","handoff":{}}', "invalid_request"),
    ],
)
async def test_a_handoff_in_an_unreadable_message_is_refused(
    site: Site, kind: WSMsgType, payload: bytes, code: str
) -> None:
    _, running, agent = await site.start_stream()
    agent.transport.send(kind, payload)
    answer = (await agent.next("handoff"))["handoff"]
    assert (answer["status"], answer["code"]) == (422, code)
    assert site.call.faults == ["bad_handoff"]
    assert len(site.call.refusals) == 1
    assert not running.done()


# ------------------------------------------------------------ unusable messages


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"{", "bad_json"),
        (b"", "bad_json"),
        (b'{"event":"\xff"}', "bad_json"),
        (b'{"event":"\\ud800"}', "bad_json"),
        (b'{"event":' * 2000, "bad_json"),
        (b'{"event":"media","media":{"payload":"handoff"}', "bad_json"),
        (b'{"event":"mark","mark":{"name":"handoff"},}', "bad_json"),
        (b"[]", "bad_message"),
        (b"null", "bad_message"),
        (b'"media"', "bad_message"),
        (b"{}", "bad_message"),
        (b'{"event":["media"]}', "bad_message"),
        (b'{"event":null}', "bad_message"),
        (b'{"event":"applause"}', "unknown_event"),
        (b'{"event":"media","media":{"payload":""}}', "wrong_stream"),
        (b'{"event":"clear","streamSid":"MZ00000000000000000000000000000000"}', "wrong_stream"),
        (b'{"event":"clear","streamSid":7}', "wrong_stream"),
    ],
)
async def test_an_unusable_message_is_a_fault_and_the_call_continues(site: Site, payload: bytes, fault: str) -> None:
    _, running, agent = await site.start_stream()
    agent.transport.send(WSMsgType.TEXT, payload)
    await agent.settle()
    assert site.call.faults == [fault]
    assert site.audio.clears == 0
    assert not running.done()


@pytest.mark.parametrize(
    ("event", "fields", "fault"),
    [
        ("media", {}, "bad_message"),
        ("media", {"media": None}, "bad_message"),
        ("media", {"media": []}, "bad_message"),
        ("media", {"media": "payload"}, "bad_message"),
        ("media", {"media": {}}, "bad_message"),
        ("media", {"media": {"payload": 7}}, "bad_message"),
        ("media", {"media": {"payload": None}}, "bad_message"),
        ("media", {"media": {"payload": "AAA"}}, "bad_base64"),
        ("media", {"media": {"payload": "AA AA"}}, "bad_base64"),
        ("media", {"media": {"payload": "AA==AA=="}}, "bad_base64"),
        ("media", {"media": {"payload": "__--"}}, "bad_base64"),
        ("media", {"media": {"payload": "\u00e9\u00e9\u00e9\u00e9"}}, "bad_base64"),
        ("mark", {}, "bad_message"),
        ("mark", {"mark": "name"}, "bad_message"),
        ("mark", {"mark": {}}, "bad_message"),
        ("mark", {"mark": {"name": 7}}, "bad_message"),
        ("mark", {"mark": {"name": "n" * (stream.MAX_MARK_CHARACTERS + 1)}}, "bad_message"),
    ],
)
async def test_fields_of_a_wrong_type_are_a_fault_and_the_call_continues(
    site: Site, event: str, fields: dict[str, object], fault: str
) -> None:
    _, running, agent = await site.start_stream()
    agent.send_event(event, **fields)
    await agent.settle()
    assert site.call.faults == [fault]
    assert site.audio.audio == b""
    assert agent.unread.empty()
    assert not running.done()


async def test_empty_audio_is_not_a_fault(site: Site) -> None:
    agent = await _start_stream(site)
    agent.send_audio(b"")
    await agent.settle()
    assert site.call.faults == []


async def test_audio_beyond_the_queue_is_a_fault_and_marks_are_still_returned(site: Site) -> None:
    agent = await _start_stream(site)
    site.audio.limit = 320
    agent.send_audio(b"a" * 400)
    agent.send_event("mark", mark={"name": "end"})
    await agent.settle()
    assert site.call.faults == ["audio_overrun"]
    site.audio.turn(play=320)
    await agent.next("media")
    await agent.next("mark")


async def test_the_number_of_pending_marks_is_limited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_MARKS", 2)
    agent = await _start_stream(site)
    agent.send_audio(FRAME)
    for name in "abc":
        agent.send_event("mark", mark={"name": name})
    await agent.settle()
    assert site.call.faults == ["bad_message"]
    site.audio.turn()
    await agent.next("media")
    assert [(await agent.next("mark"))["mark"]["name"] for _ in range(2)] == ["a", "b"]


async def test_unknown_fields_are_not_a_fault(site: Site) -> None:
    agent = await _start_stream(site)
    payload = base64.b64encode(FRAME).decode()
    agent.send(
        json.loads(
            f'{{"event":"media","streamSid":"{agent.stream_sid}","sequenceNumber":1,"more":{{}},'
            f'"media":{{"payload":"{payload}","track":"outbound"}}}}'
        )
    )
    await agent.settle()
    assert site.audio.audio == FRAME
    assert site.call.faults == []
