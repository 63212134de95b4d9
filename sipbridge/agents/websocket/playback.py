"""The agent's audio, from the socket to the caller."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.calls.ports.sip import AudioStream

# Mu-law audio of a call.
BYTES_PER_SECOND = 8000
FRAME_BYTES = 160  # 20 ms


class Playback:
    """The audio that was queued and played, over all streams of a call, and for how long the agent is quiet.

    `written` and `played` are bytes since the start of the call; cleared audio counts as played. `quiet_from` is the
    time of the loop's clock since which the agent has sent nothing and nothing of it is played.
    """

    def __init__(self, audio: AudioStream, clock: Callable[[], float]) -> None:
        self.written = 0
        self.played = 0
        self.quiet_from = clock()
        self._audio = audio
        self._clock = clock

    def write(self, speech: bytes) -> bool:
        """Queue audio. Return False if the queue had no space for all of it."""
        wanted = self.written + len(speech)
        self.written = self._audio.write(speech)
        return self.written == wanted

    def clear(self) -> None:
        """Drop the queued audio."""
        self.written = self.played = self._audio.clear()

    def note_activity(self) -> None:
        """Note that the agent has sent something: it is not quiet until its queued audio has been played."""
        self.quiet_from = self._clock() + (self.written - self.played) / BYTES_PER_SECOND

    def quiet_seconds(self) -> float:
        """Return for how long the agent has been quiet; negative while its audio should be playing."""
        if self.quiet_from <= self._clock() and self.played < self.written:
            self.note_activity()  # the caller's leg is paused: the queued audio is still to be played
        return self._clock() - self.quiet_from
