"""The examples of twilio.com/docs/voice/media-streams/websocket-messages, with their order of fields."""

from __future__ import annotations

import base64
import json
import re

import pytest

from sipbridge.agents.websocket.protocols.twilio.messages import CONNECTED, CallLabels, StreamMessages, label
from tests.agents.websocket.support import CALL_ID, identity

LABELS = CallLabels("AC" + "a" * 32, "CA" + "c" * 32, {"FirstName": "Jane", "LastName": "Doe", "RemoteParty": "Bob"})


def _messages() -> StreamMessages:
    messages = StreamMessages(LABELS)
    messages.start()
    return messages


def _compact(example: str, messages: StreamMessages) -> bytes:
    """Return an example as it is sent: one line, with the sid of the stream."""
    return json.dumps(json.loads(example.replace("MZX", messages.stream_sid)), separators=(",", ":")).encode()


def test_connected() -> None:
    assert CONNECTED == b'{"event":"connected","protocol":"Call","version":"1.0.0"}'


def test_start() -> None:
    messages = StreamMessages(LABELS)
    example = """{
      "event": "start",
      "sequenceNumber": "1",
      "start": {
        "accountSid": "ACX",
        "streamSid": "MZX",
        "callSid": "CAX",
        "tracks": [ "inbound" ],
        "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        "customParameters": { "FirstName": "Jane", "LastName": "Doe", "RemoteParty": "Bob" }
      },
      "streamSid": "MZX"
    }"""
    example = example.replace("ACX", LABELS.account_sid).replace("CAX", LABELS.call_sid)
    assert messages.start() == _compact(example, messages)


def test_media() -> None:
    messages = _messages()
    audio = bytes(range(160))
    example = """{
      "event": "media",
      "sequenceNumber": "2",
      "media": { "track": "inbound", "chunk": "1", "timestamp": "0", "payload": "PAYLOAD" },
      "streamSid": "MZX"
    }"""
    example = example.replace("PAYLOAD", base64.b64encode(audio).decode())
    assert messages.media(audio) == _compact(example, messages)


def test_media_is_numbered_and_timed_from_the_start_of_the_stream() -> None:
    messages = _messages()
    messages.media(b"\xff" * 160)
    messages.skip(320)
    message = json.loads(messages.media(b"\xff" * 160))
    assert message["sequenceNumber"] == "3"
    assert (message["media"]["chunk"], message["media"]["timestamp"]) == ("2", "60")


def test_dtmf() -> None:
    messages = _messages()
    example = """{
      "event": "dtmf",
      "streamSid": "MZX",
      "sequenceNumber": "2",
      "dtmf": { "track": "inbound_track", "digit": "1" }
    }"""
    assert messages.dtmf("1") == _compact(example, messages)


def test_mark() -> None:
    messages = _messages()
    example = """{
      "event": "mark",
      "sequenceNumber": "2",
      "streamSid": "MZX",
      "mark": { "name": "my label" }
    }"""
    assert messages.mark("my label") == _compact(example, messages)


def test_stop() -> None:
    messages = _messages()
    example = f"""{{
      "event": "stop",
      "sequenceNumber": "2",
      "stop": {{ "accountSid": "{LABELS.account_sid}", "callSid": "{LABELS.call_sid}" }},
      "streamSid": "MZX"
    }}"""
    assert messages.stop() == _compact(example, messages)


def test_the_response_to_a_handoff() -> None:
    messages = _messages()
    assert json.loads(messages.handoff({"id": "1"})) == {
        "event": "handoff",
        "sequenceNumber": "2",
        "streamSid": messages.stream_sid,
        "handoff": {"id": "1"},
    }


def test_every_message_of_a_stream_has_the_next_number() -> None:
    messages = StreamMessages(LABELS)
    sent = [
        messages.start(),
        messages.media(b"\xff" * 160),
        messages.dtmf("1"),
        messages.media(b"\xff" * 160),
        messages.mark("m"),
        messages.handoff({}),
        messages.stop(),
    ]
    assert [json.loads(message)["sequenceNumber"] for message in sent] == list("1234567")


def test_sids_are_two_letters_and_32_hex_digits() -> None:
    labels = label(identity(), {})
    assert labels.call_sid == f"CA{CALL_ID}"
    assert re.fullmatch("AC[0-9a-f]{32}", labels.account_sid)
    assert re.fullmatch("MZ[0-9a-f]{32}", StreamMessages(labels).stream_sid)


def test_all_calls_of_a_client_have_one_account_and_each_stream_its_own_sid() -> None:
    one, other = label(identity(), {}), label(identity(), {})
    assert one.account_sid == other.account_sid
    assert StreamMessages(one).stream_sid != StreamMessages(other).stream_sid


def test_parameters_are_the_identity_then_passed_then_configured_ones() -> None:
    labels = label(identity(X_Language="de"), {"voice": "ava"})
    assert list(labels.parameters.items()) == [
        ("call_id", CALL_ID),
        ("client", "acme"),
        ("project", "billing"),
        ("contact_id", "123456789"),
        ("main_contact_id", "987654321"),
        ("caller", "+15550100"),
        ("dialled", "+19995550001"),
        ("X-Language", "de"),
        ("voice", "ava"),
    ]


@pytest.mark.parametrize(("name", "value"), [("X-Language", "fr"), ("caller", "+15550100")])
def test_configured_parameters_override_passed_headers_but_not_the_identity(name: str, value: str) -> None:
    labels = label(identity(X_Language="de"), {"X-Language": "fr", "caller": "nobody"})
    assert labels.parameters[name] == value
