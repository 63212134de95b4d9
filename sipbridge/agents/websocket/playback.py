"""What the agent says, on its way to the caller."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.agents.websocket.protocols.twilio.messages import BYTES_PER_SECOND
from sipbridge.calls.ports import AudioStream


class Playback:
    """Counts what was queued and what was played, over all streams of a call, and when it last was quiet.

    `written` and `played` are bytes since the call began; what was cleared counts as played. `quiet_from` is the time
    of the loop's clock from which on the agent has neither sent nor is being heard.
    """

    def __init__(self, audio: AudioStream, clock: Callable[[], float]) -> None:
        self.written = 0
        self.played = 0
        self.quiet_from = clock()
        self._audio = audio
        self._clock = clock

    def write(self, speech: bytes) -> bool:
        """Queue speech; false where the queue was too full for all of it."""
        wanted = self.written + len(speech)
        self.written = self._audio.write(speech)
        return self.written == wanted

    def clear(self) -> None:
        """Silence the agent."""
        self.written = self.played = self._audio.clear()

    def note_life(self) -> None:
        """The agent has given a sign of life: it is not quiet before what it said has been played."""
        self.quiet_from = self._clock() + (self.written - self.played) / BYTES_PER_SECOND

    def quiet_seconds(self) -> float:
        """How long the agent has been quiet; below zero while it can be expected to be heard."""
        if self.quiet_from <= self._clock() and self.played < self.written:
            self.note_life()  # the caller's leg stands still: what is queued has yet to be heard
        return self._clock() - self.quiet_from
