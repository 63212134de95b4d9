"""Messages to the agent, field by field as Twilio documents them.

Source: twilio.com/docs/voice/media-streams/websocket-messages. JSON text; sequence numbers, chunks and timestamps are
strings. The response to a `handoff` event is our own extension.
"""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sipbridge.agents.websocket.playback import BYTES_PER_SECOND
from sipbridge.calls.model import Identity

_BYTES_PER_MILLISECOND = BYTES_PER_SECOND // 1000

CONNECTED = orjson.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


@dataclass(frozen=True, slots=True)
class CallLabels:
    """The labels on every stream of one call: Twilio's ids of account and call, and `customParameters`."""

    account_sid: str
    call_sid: str
    parameters: Mapping[str, str]


def label(identity: Identity, parameters: Mapping[str, str]) -> CallLabels:
    """Return the labels of a call. Configured parameters override passed headers; the identity overrides both."""
    identifiers = {
        "call_id": identity.call_id,
        "client": identity.client,
        "project": identity.project,
        "contact_id": identity.contact_id,
        "main_contact_id": identity.main_contact_id,
        "caller": identity.caller,
        "dialled": identity.dialled,
    }
    return CallLabels(
        # 32 hex digits, which agents may check; the same for all calls of a client.
        account_sid="AC" + hashlib.sha256(identity.client.encode()).hexdigest()[:32],
        call_sid="CA" + identity.call_id,
        parameters=identifiers | dict(identity.headers) | dict(parameters) | identifiers,
    )


class Counter:
    """The counts of a stream: messages, those with audio, and bytes of audio, skipped ones included."""

    def __init__(self) -> None:
        self._messages = self._chunks = self._bytes = 0

    def count(self, messages: int, chunks: int, size: int) -> tuple[int, int, int]:
        """Add to the counts, and return them."""
        self._messages += messages
        self._chunks += chunks
        self._bytes += size
        return self._messages, self._chunks, self._bytes


class StreamMessages:
    """The messages of one stream, each with the next sequence number.

    `count` counts them. It may be replaced before the first message, if audio is sent elsewhere, too.
    """

    def __init__(self, labels: CallLabels) -> None:
        self.stream_sid = "MZ" + secrets.token_hex(16)
        self.count = Counter().count
        self._labels = labels
        self._media = (
            b'{"event":"media","sequenceNumber":"%%d","media":{"track":"inbound","chunk":"%%d","timestamp":"%%d",'
            b'"payload":"%%b"},"streamSid":"%b"}' % self.stream_sid.encode()
        )

    def start(self) -> bytes:
        """Return `start`: the call, and the format of its audio."""
        return self._dump(
            {
                "event": "start",
                "sequenceNumber": self._next(),
                "start": {
                    "accountSid": self._labels.account_sid,
                    "streamSid": self.stream_sid,
                    "callSid": self._labels.call_sid,
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": BYTES_PER_SECOND, "channels": 1},
                    "customParameters": dict(self._labels.parameters),
                },
                "streamSid": self.stream_sid,
            }
        )

    def media(self, audio: bytes) -> bytes:
        """Return `media` with the next audio of the caller. Formatted, since it runs 50 times per second and call."""
        sequence, chunk, end = self.count(1, 1, len(audio))
        timestamp = (end - len(audio)) // _BYTES_PER_MILLISECOND
        return self._media % (sequence, chunk, timestamp, b2a_base64(audio, newline=False))

    def skip(self, size: int) -> None:
        """Advance the timestamp by so many bytes of audio, without a message."""
        self.count(0, 0, size)

    def dtmf(self, digit: str) -> bytes:
        """Return `dtmf` for a digit of the caller."""
        return self._dump(
            {
                "event": "dtmf",
                "streamSid": self.stream_sid,
                "sequenceNumber": self._next(),
                "dtmf": {"track": "inbound_track", "digit": digit},
            }
        )

    def mark(self, name: str) -> bytes:
        """Return `mark`: the audio before the mark was played or cleared."""
        return self._dump(
            {
                "event": "mark",
                "sequenceNumber": self._next(),
                "streamSid": self.stream_sid,
                "mark": {"name": name},
            }
        )

    def handoff(self, response: Mapping[str, object]) -> bytes:
        """Return the response to the agent's `handoff`, or the state of a handoff."""
        return self._dump(
            {
                "event": "handoff",
                "sequenceNumber": self._next(),
                "streamSid": self.stream_sid,
                "handoff": response,
            }
        )

    def stop(self) -> bytes:
        """Return `stop`: the end of the stream."""
        return self._dump(
            {
                "event": "stop",
                "sequenceNumber": self._next(),
                "stop": {"accountSid": self._labels.account_sid, "callSid": self._labels.call_sid},
                "streamSid": self.stream_sid,
            }
        )

    def _next(self) -> str:
        return str(self.count(1, 0, 0)[0])

    @staticmethod
    def _dump(message: Mapping[str, object]) -> bytes:
        return orjson.dumps(message)
