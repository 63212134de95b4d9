"""One stream between a caller and an agent: from its `start` to its `stop`, or to the loss of its socket."""

from __future__ import annotations

from binascii import a2b_base64
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from sipbridge.agents.websocket import handoff
from sipbridge.agents.websocket.connection import Link, Payload
from sipbridge.agents.websocket.playback import Playback
from sipbridge.agents.websocket.protocols.twilio.messages import CONNECTED, FRAME_BYTES, CallLabels, StreamMessages
from sipbridge.calls.ports import LiveCall
from sipbridge.errors import ErrorCode

Action = Callable[[dict[str, Any], Payload], None]

# Marks that wait for their turn, and characters of a name: what an agent can make us hold is bounded.
MAX_MARKS = 1000
MAX_MARK_CHARACTERS = 1024


class MediaStream:
    """Speaks Media Streams over a link. What the agent does wrong is noted at the call, and the stream goes on."""

    def __init__(self, link: Link, call: LiveCall, playback: Playback, labels: CallLabels) -> None:
        self._link = link
        self._call = call
        self._playback = playback
        self._messages = StreamMessages(labels)
        # True once the agent has sent audio, and once it has asked for a handoff, whatever became of that.
        self.spoke = self.asked = False
        self._marks: deque[tuple[int, str]] = deque()  # bytes that must have been played, name
        self._actions: dict[str, Action] = {
            "media": self._media,
            "mark": self._mark,
            "clear": self._clear,
            "handoff": self._handoff,
        }

    def start(self) -> None:
        """Send `connected` and `start`, and listen."""
        self._link.send(CONNECTED)
        self._link.send(self._messages.start())
        self._link.listen(self._receive, self._drop, self._call.note_fault)

    def hear(self, audio: bytes) -> None:
        """Pass on what the caller said, in messages of 20 ms, and the marks that were reached meanwhile."""
        if self._link.congested:
            self._messages.skip(audio)
        elif len(audio) == FRAME_BYTES:
            self._link.send(self._messages.media(audio))
        else:
            for begin in range(0, len(audio), FRAME_BYTES):
                self._link.send(self._messages.media(audio[begin : begin + FRAME_BYTES]))
        if self._marks:
            self._return_marks()

    def press(self, digit: str) -> None:
        """Pass on a key that the caller pressed."""
        self._link.send(self._messages.dtmf(digit))

    def stop(self) -> None:
        """Tell the agent that it is over."""
        self._link.send(self._messages.stop())

    # ------------------------------------------------------------ what the agent sends

    def _receive(self, payload: Payload) -> None:
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            self._drop(payload, "bad_json", f"the message is not JSON: {error.msg}")
            return
        event = message.get("event") if isinstance(message, dict) else None
        if not isinstance(event, str):
            self._drop(payload, "bad_message", "the message is not an object with an event")
            return
        action = self._actions.get(event) or (self._handoff if handoff.is_spelled(event) else None)
        if action is None:
            self._call.note_fault("unknown_event", "an event is none of media, mark, clear and handoff")
        elif not self._is_ours(message, action):
            self._refuse_stream(event, action)
            return
        else:
            action(message, payload)
        self._playback.note_life()

    def _is_ours(self, message: dict[str, Any], action: Action) -> bool:
        """Return True if the message names this stream. A handoff need not: a socket has one stream."""
        stream_sid = message.get("streamSid")
        return stream_sid == self._messages.stream_sid or (stream_sid is None and action == self._handoff)

    def _refuse_stream(self, event: str, action: Action) -> None:
        if action == self._handoff:
            self._refuse_handoff("invalid_request", "streamSid is not that of this stream")
        else:
            self._call.note_fault("wrong_stream", f"a {event} message names no streamSid, or another stream's")

    def _drop(self, payload: Payload, fault: str, why: str) -> None:
        """Note a message that cannot be used. One that asks for a handoff is refused: its caller wants a human."""
        if handoff.is_wish(payload):
            self._refuse_handoff("invalid_json" if fault == "bad_json" else "invalid_request", why)
        else:
            self._call.note_fault(fault, why)

    def _refuse_handoff(self, code: ErrorCode, why: str) -> None:
        self.asked = True
        self._link.send(self._messages.handoff(handoff.refuse(self._call, code, why)))

    def _media(self, message: dict[str, Any], _payload: Payload) -> None:
        try:
            speech = a2b_base64(message["media"]["payload"], strict_mode=True)
        except (KeyError, TypeError):
            self._call.note_fault("bad_message", "media has no payload of text")
        except ValueError:
            self._call.note_fault("bad_base64", "the payload of media is not base64")
        else:
            self.spoke = self.spoke or bool(speech)
            if speech and not self._playback.write(speech):
                self._call.note_fault("audio_overrun", "more audio is queued than a caller would wait for")

    def _mark(self, message: dict[str, Any], _payload: Payload) -> None:
        mark = message.get("mark")
        name = mark.get("name") if isinstance(mark, dict) else None
        if not isinstance(name, str) or len(name) > MAX_MARK_CHARACTERS:
            self._call.note_fault("bad_message", f"mark has no name of at most {MAX_MARK_CHARACTERS} characters")
        elif len(self._marks) == MAX_MARKS:
            self._call.note_fault("bad_message", f"{MAX_MARKS} marks wait for their audio to be played")
        else:
            self._marks.append((self._playback.written, name))
            self._return_marks()

    def _clear(self, _message: dict[str, Any], _payload: Payload) -> None:
        self._playback.clear()
        self._return_marks()

    def _handoff(self, _message: dict[str, Any], payload: Payload) -> None:
        self.asked = True
        self._link.send(self._messages.handoff(handoff.ask(self._call, payload)))

    def _return_marks(self) -> None:
        while self._marks and self._marks[0][0] <= self._playback.played:
            self._link.send(self._messages.mark(self._marks.popleft()[1]))
