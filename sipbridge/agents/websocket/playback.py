"""The agent's audio, from the socket to the caller."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.calls.ports.sip import AgentSocket, AudioStream, SocketUser

# Mu-law audio of a call.
BYTES_PER_SECOND = 8000
FRAME_BYTES = 160  # 20 ms


class Playback:
    """The audio that was queued and played, over all streams of a call, and for how long the agent is quiet.

    `written` and `played` are bytes since the start of the call; cleared audio counts as played. `quiet_from` is the
    time of the loop's clock since which the agent has sent nothing and nothing of it is played. All three are those of
    the last `refresh` or `note_activity`, since audio may pass this object (`connect`).
    """

    def __init__(self, audio: AudioStream, clock: Callable[[], float]) -> None:
        self.written = 0
        self.played = 0
        self.quiet_from = clock()
        self._audio = audio
        self._clock = clock

    def connect(self, descriptor: int | None, stream_sid: str, user: SocketUser) -> AgentSocket | None:
        """Pass audio between the leg and the agent's socket, past this object. None if it cannot be passed."""
        return self._audio.connect(descriptor, stream_sid, user)

    def refresh(self) -> None:
        """Note the audio that has passed."""
        self.written, self.played, over = self._audio.position()
        self.quiet_from = max(self.quiet_from, over)

    def write(self, speech: bytes) -> bool:
        """Queue audio. Return False if the queue had no space for all of it."""
        self.refresh()
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
        self.refresh()
        if self.quiet_from <= self._clock() and self.played < self.written:
            self.note_activity()  # the caller's leg is paused: the queued audio is still to be played
        return self._clock() - self.quiet_from
