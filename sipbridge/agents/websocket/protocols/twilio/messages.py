"""Messages to the agent, field by field as Twilio documents them.

Source: twilio.com/docs/voice/media-streams/websocket-messages. JSON text; sequence numbers, chunks and timestamps are
strings. The answer to a `handoff` event is ours: Twilio has none.
"""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sipbridge.calls.model import Identity

FRAME_BYTES = 160  # 20 ms of mu-law
BYTES_PER_SECOND = 8000
_BYTES_PER_MILLISECOND = BYTES_PER_SECOND // 1000

CONNECTED = orjson.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


@dataclass(frozen=True, slots=True)
class CallLabels:
    """What every stream of one call is labelled with: Twilio's names for account and call, and `customParameters`."""

    account_sid: str
    call_sid: str
    parameters: Mapping[str, str]


def label(identity: Identity, parameters: Mapping[str, str]) -> CallLabels:
    """Label a call. Configured parameters win over passed headers, and who calls whom wins over both."""
    who = {
        "call_id": identity.call_id,
        "client": identity.client,
        "project": identity.project,
        "contact_id": identity.contact_id,
        "main_contact_id": identity.main_contact_id,
        "caller": identity.caller,
        "dialled": identity.dialled,
    }
    return CallLabels(
        # 32 hex digits, as agents may check, and the same for all calls of a client.
        account_sid="AC" + hashlib.sha256(identity.client.encode()).hexdigest()[:32],
        call_sid="CA" + identity.call_id,
        parameters=who | dict(identity.headers) | dict(parameters) | who,
    )


class StreamMessages:
    """The messages of one stream, each with the next sequence number."""

    def __init__(self, labels: CallLabels) -> None:
        self.stream_sid = "MZ" + secrets.token_hex(16)
        self._labels = labels
        self._sequence = 0
        self._chunk = 0
        self._heard = 0  # bytes of the caller's since the start
        self._media = (
            b'{"event":"media","sequenceNumber":"%%d","media":{"track":"inbound","chunk":"%%d","timestamp":"%%d",'
            b'"payload":"%%b"},"streamSid":"%b"}' % self.stream_sid.encode()
        )

    def start(self) -> bytes:
        """Tell of the call, and of the format of its audio."""
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
        """Pass on what the caller said next. Fifty times a second and call: formatted, not dumped."""
        self._sequence += 1
        self._chunk += 1
        timestamp = self._heard // _BYTES_PER_MILLISECOND
        self._heard += len(audio)
        return self._media % (self._sequence, self._chunk, timestamp, b2a_base64(audio, newline=False))

    def skip(self, audio: bytes) -> None:
        """Let time go by, with no message."""
        self._heard += len(audio)

    def dtmf(self, digit: str) -> bytes:
        """Tell of a key that the caller pressed."""
        return self._dump(
            {
                "event": "dtmf",
                "streamSid": self.stream_sid,
                "sequenceNumber": self._next(),
                "dtmf": {"track": "inbound_track", "digit": digit},
            }
        )

    def mark(self, name: str) -> bytes:
        """Tell that what came before the mark was played, or cleared."""
        return self._dump(
            {
                "event": "mark",
                "sequenceNumber": self._next(),
                "streamSid": self.stream_sid,
                "mark": {"name": name},
            }
        )

    def handoff(self, answer: Mapping[str, object]) -> bytes:
        """Answer the agent's `handoff`."""
        return self._dump(
            {
                "event": "handoff",
                "sequenceNumber": self._next(),
                "streamSid": self.stream_sid,
                "handoff": answer,
            }
        )

    def stop(self) -> bytes:
        """Tell that the stream is over."""
        return self._dump(
            {
                "event": "stop",
                "sequenceNumber": self._next(),
                "stop": {"accountSid": self._labels.account_sid, "callSid": self._labels.call_sid},
                "streamSid": self.stream_sid,
            }
        )

    def _next(self) -> str:
        self._sequence += 1
        return str(self._sequence)

    @staticmethod
    def _dump(message: Mapping[str, object]) -> bytes:
        return orjson.dumps(message)
