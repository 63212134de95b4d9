"""One stream between a caller and an agent, from `start` to `stop` or to the loss of its connection."""

from __future__ import annotations

import time
from binascii import a2b_base64
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sipbridge.agents.websocket.connection import Connection
from sipbridge.agents.websocket.playback import BYTES_PER_SECOND, FRAME_BYTES, Playback
from sipbridge.agents.websocket.protocols.twilio import handoff
from sipbridge.agents.websocket.protocols.twilio.messages import CONNECTED, CallLabels, StreamMessages
from sipbridge.agents.websocket.receiver import Payload
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import AgentSocket
from sipbridge.errors import ErrorCode
from sipbridge.handoffs.record import HandoffRecord

# Limits on what an agent can make us store: pending marks, and characters of a name.
MAX_MARKS = 1000
MAX_MARK_CHARACTERS = 1024


class MediaStream:
    """Implements `protocol.Stream` and `receiver.Receiver` with Media Streams.

    Faults of the agent are noted on the call, and the stream continues.
    """

    def __init__(self, connection: Connection, call: LiveCall, playback: Playback, labels: CallLabels) -> None:
        self._connection = connection
        self._call = call
        self._playback = playback
        self._messages = StreamMessages(labels)
        self._stream_sid = self._messages.stream_sid
        self.asked = False
        self._written_before = playback.written
        self._socket: AgentSocket | None = None
        self._paused_at = 0.0
        self._marks: deque[tuple[int, str]] = deque()  # bytes to be played before it, name

    def start(self) -> None:
        """Send `connected` and `start`, and receive messages. If possible, audio passes this object from then on."""
        self._playback.refresh()
        self._written_before = self._playback.written
        self._socket = self._connection.pass_audio(self._messages.stream_sid, self._playback.connect)
        if self._socket is not None:
            self._messages.count = self._socket.count
        self._connection.send(CONNECTED)
        self._connection.send(self._messages.start())
        self._connection.set_receiver(self)

    @property
    def spoke(self) -> bool:
        """True once the agent has sent audio."""
        self._playback.refresh()
        return self._playback.written > self._written_before

    def send_audio(self, audio: bytes) -> None:
        """Send the caller's audio in messages of 20 ms, and the marks that were reached."""
        if self._connection.congested:
            self._messages.skip(len(audio))
        elif len(audio) == FRAME_BYTES:
            self._connection.send(self._messages.media(audio))
        else:
            for begin in range(0, len(audio), FRAME_BYTES):
                self._connection.send(self._messages.media(audio[begin : begin + FRAME_BYTES]))
        if self._marks:
            self._return_marks()

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit of the caller."""
        self._connection.send(self._messages.dtmf(digit))

    def pause(self) -> None:
        """Note since when no audio comes. What was queued is dropped and counts as played, so all marks go back."""
        self._paused_at = time.monotonic()
        self._playback.refresh()
        self._return_marks()

    def resume(self) -> None:
        """Advance the timestamps by the pause."""
        self._messages.skip(round((time.monotonic() - self._paused_at) * 1000) * BYTES_PER_SECOND // 1000)

    def send_handoff(self, record: HandoffRecord) -> None:
        """Send a `handoff` event of ours."""
        self._connection.send(self._messages.handoff(handoff.describe(self._call, record)))

    def stop(self) -> None:
        """Send `stop`."""
        self._connection.send(self._messages.stop())

    # ------------------------------------------------------------ what the agent sends

    def receive_text(self, payload: Payload) -> None:
        """Act on a message. One that is not a message of Media Streams is a fault."""
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            self._reject(payload, "bad_json", f"the message is not JSON: {error.msg}")
            return
        event = message.get("event") if isinstance(message, dict) else None
        if not isinstance(event, str):
            self._reject(payload, "bad_message", "the message is not an object with an event")
            return
        action = _ACTIONS.get(event) or (MediaStream._handoff if handoff.is_spelled(event) else None)
        if action is None:
            self._call.note_fault("unknown_event", "the event is not media, mark, clear or handoff")
        elif not self._is_of_this_stream(message, action):
            self._refuse_stream(event, action)
            return
        else:
            action(self, message, payload)
        self._playback.note_activity()

    def receive_binary(self, payload: Payload) -> None:
        """Reject it: Media Streams has text messages only."""
        self._reject(payload, "bad_message", "the message is binary")

    def note_fault(self, fault: str, message: str) -> None:
        """Note that the agent misuses the connection."""
        self._call.note_fault(fault, message)

    def _is_of_this_stream(self, message: dict[str, Any], action: Action) -> bool:
        """Return True if the message names this stream. A handoff need not: a connection has one stream."""
        stream_sid = message.get("streamSid")
        return stream_sid == self._stream_sid or (stream_sid is None and action is MediaStream._handoff)

    def _refuse_stream(self, event: str, action: Action) -> None:
        if action is MediaStream._handoff:
            self._refuse_handoff("invalid_request", "streamSid is not that of this stream")
        else:
            self._call.note_fault("wrong_stream", f"a {event} message names no streamSid, or another stream's")

    def _reject(self, payload: Payload, fault: str, why: str) -> None:
        """Note an unusable message. A request for a handoff gets a response: the caller needs a human agent."""
        if handoff.names_handoff(payload):
            self._refuse_handoff("invalid_json" if fault == "bad_json" else "invalid_request", why)
        else:
            self._call.note_fault(fault, why)

    def _refuse_handoff(self, code: ErrorCode, why: str) -> None:
        self.asked = True
        self._connection.send(self._messages.handoff(handoff.refuse(self._call, code, why)))

    def _media(self, message: dict[str, Any], _payload: Payload) -> None:
        try:
            speech = a2b_base64(message["media"]["payload"], strict_mode=True)
        except (KeyError, TypeError):
            self._call.note_fault("bad_message", "media has no payload of text")
        except ValueError:
            self._call.note_fault("bad_base64", "the payload of media is not base64")
        else:
            if speech and not self._playback.write(speech):
                self._call.note_fault("audio_overrun", "the audio queue is full")

    def _mark(self, message: dict[str, Any], _payload: Payload) -> None:
        mark = message.get("mark")
        name = mark.get("name") if isinstance(mark, dict) else None
        if not isinstance(name, str) or len(name) > MAX_MARK_CHARACTERS:
            self._call.note_fault("bad_message", f"mark has no name of at most {MAX_MARK_CHARACTERS} characters")
        elif len(self._marks) == MAX_MARKS:
            self._call.note_fault("bad_message", f"{MAX_MARKS} marks are pending")
        else:
            self._playback.refresh()
            self._marks.append((self._playback.written, name))
            self._return_marks()

    def _clear(self, _message: dict[str, Any], _payload: Payload) -> None:
        self._playback.clear()
        self._return_marks()

    def _handoff(self, _message: dict[str, Any], payload: Payload) -> None:
        self.asked = True
        self._connection.send(self._messages.handoff(handoff.request_handoff(self._call, payload)))

    def _return_marks(self) -> None:
        while self._marks and self._marks[0][0] <= self._playback.played:
            self._connection.send(self._messages.mark(self._marks.popleft()[1]))
        if self._socket is not None:
            self._socket.reports(bool(self._marks))


Action = Callable[[MediaStream, dict[str, Any], Payload], None]

# Not bound to a stream, which would then refer to itself: only the garbage collector could free it.
_ACTIONS: Mapping[str, Action] = {
    "media": MediaStream._media,  # noqa: SLF001 (its own actions)
    "mark": MediaStream._mark,  # noqa: SLF001
    "clear": MediaStream._clear,  # noqa: SLF001
    "handoff": MediaStream._handoff,  # noqa: SLF001
}
