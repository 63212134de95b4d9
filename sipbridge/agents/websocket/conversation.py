"""The conversation of one caller with the agent, over one connection after another if one drops."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from sipbridge.agents.presence import TRIAL_SECONDS, took_call
from sipbridge.agents.websocket.connection import CLOSED_WELL, CLOSED_WITHOUT_CODE, Connection
from sipbridge.agents.websocket.playback import Playback
from sipbridge.agents.websocket.protocol import Stream, StreamFactory
from sipbridge.calls.ports.agents import ConversationEnd
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import AudioStream, Leg
from sipbridge.errors import AgentLost, AgentUnavailable, LegEnded
from sipbridge.handoffs.record import HandoffRecord

# Seconds before each attempt to reconnect. A connection that lasted STEADY_SECONDS restarts the series.
RECONNECT_DELAYS = (0.0, 1.0, 2.0, 4.0)
STEADY_SECONDS = 10.0
MAX_EARLY_DIGITS = 32
MAX_EARLY_PIECES = 50  # of audio, mostly of 20 ms each


class WebsocketConversation:
    """Implements `calls.ports.Conversation`. `connection` is open; `reopen` opens another one to the same agent."""

    def __init__(
        self,
        connection: Connection,
        reopen: Callable[[], Awaitable[Connection]],
        leg: Leg,
        open_stream: StreamFactory,
        silence_timeout_seconds: float | None,
    ) -> None:
        self._connection = connection
        self._reopen = reopen
        self._leg = leg
        self._open_stream = open_stream
        self._silence_timeout_seconds = silence_timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._audio: AudioStream | None = None
        self._playback: Playback | None = None
        self._stream: Stream | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._muted = False
        self._has_left = False
        # The handoff of which the agent is to be notified, if its connection is down.
        self._unreported: HandoffRecord | None = None
        self._early_digits: deque[str] | None = deque(maxlen=MAX_EARLY_DIGITS)
        self._early_audio: deque[bytes] | None = deque(maxlen=MAX_EARLY_PIECES)

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Run until the agent closes its connection. Raises `AgentLost`."""
        try:
            self._audio = await self._leg.open_audio(self._hear)
            playback = self._playback = Playback(self._audio, self._loop.time)
            self._watch_silence(playback)
            return await self._exchange(call, playback)
        except asyncio.CancelledError:
            self._close_audio()
            raise
        finally:
            self._has_left = True
            self._stop()

    async def finish_speaking(self) -> None:
        """Return once all queued audio has been played. An agent that has left speaks no more, even if this is cut."""
        if self._audio is None:
            return
        try:
            await self._audio.played_out()
        finally:
            if self._has_left:
                self._close_audio()

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit to the agent.

        A digit from before the stream is sent at its start. A digit is lost while the connection is down.
        """
        if self._stream is not None:
            self._stream.send_digit(digit)
        elif self._early_digits is not None:
            self._early_digits.append(digit)

    async def mute(self, handoff: HandoffRecord) -> bool:
        """Drop the audio both ways. The connection stays open, and is reopened if it drops."""
        if self._audio is None:
            return False
        self._muted = True
        self._audio.mute()
        if self._stream is not None:
            self._stream.pause()
        if handoff.requested_by != "agent":  # else it has got the response to its request
            self.report(handoff)
        return True

    async def unmute(self) -> None:
        """Let audio pass again."""
        if self._audio is None:
            raise LegEnded("the conversation has not begun")
        await self._audio.unmute()
        self._muted = False
        if self._playback is not None:
            self._playback.note_activity()
        if self._stream is not None:
            self._stream.resume()

    def report(self, handoff: HandoffRecord) -> None:
        """Send the state of the handoff, or do so once the connection is up again."""
        if self._stream is not None:
            self._stream.send_handoff(handoff)
        else:
            self._unreported = handoff

    async def close(self, handoff: HandoffRecord | None) -> None:  # noqa: ARG002 (no message of the protocol reports it)
        """Close the connection and the audio if they are still open."""
        self._close_audio()
        self._connection.close()

    # ------------------------------------------------------------ inside

    async def _exchange(self, call: LiveCall, playback: Playback) -> ConversationEnd:
        delays = iter(RECONNECT_DELAYS)
        while True:
            stream = self._stream = self._open_stream(self._connection, call, playback)
            stream.start()
            self._catch_up(stream)
            audio, self._early_audio = self._early_audio, None
            for piece in audio or ():
                stream.send_audio(piece)
            digits, self._early_digits = self._early_digits, None
            for digit in digits or ():
                stream.send_digit(digit)
            since = self._loop.time()
            code = await self._connection.ended
            self._stream = None
            self._connection.close()
            if code in (CLOSED_WELL, CLOSED_WITHOUT_CODE):
                if not took_call(self._connection.lasted_seconds, spoke=stream.spoke, asked=stream.asked):
                    raise AgentLost(f"it closed its socket within {TRIAL_SECONDS:g} s and had sent no audio")
                return ConversationEnd(None)
            if self._loop.time() - since >= STEADY_SECONDS:
                delays = iter(RECONNECT_DELAYS)
            self._connection = await self._reconnect(delays, code)
            playback.note_activity()
            call.note_fault("reconnected", f"the socket ended with {code} and was opened again")

    def _catch_up(self, stream: Stream) -> None:
        """Let a new stream know what has happened while the connection was down."""
        if self._muted:
            stream.pause()
        handoff, self._unreported = self._unreported, None
        if handoff is not None:
            stream.send_handoff(handoff)

    async def _reconnect(self, delays: Iterator[float], code: int) -> Connection:
        why = "it dropped repeatedly"
        for delay in delays:
            await asyncio.sleep(delay)
            try:
                return await self._reopen()
            except AgentUnavailable as error:
                why = str(error)
        raise AgentLost(f"its socket ended with {code} and could not be reopened: {why}")

    def _hear(self, audio: bytes, played: int) -> None:
        """Pass on audio of the caller; `played` is how much of the agent's audio was played. Called every 20 ms.

        Audio from before the stream is sent at its start. Audio is lost while the connection is down.
        """
        if self._playback is not None:
            self._playback.played = played
        if self._stream is not None:
            self._stream.send_audio(audio)
        elif self._early_audio is not None:
            self._early_audio.append(audio)

    def _watch_silence(self, playback: Playback) -> None:
        """Check again when the agent may have been silent for too long. Messages move no timer."""
        if self._silence_timeout_seconds is None:
            return
        if self._muted:
            playback.note_activity()
        left = self._silence_timeout_seconds - playback.quiet_seconds()
        if left <= 0 and self._stream is not None:
            self._connection.fail(AgentLost("silent"))
            return
        self._silence_timer = self._loop.call_later(
            left if left > 0 else self._silence_timeout_seconds, self._watch_silence, playback
        )

    def _stop(self) -> None:
        """Let the agent hear and say no more. What it has said stays queued for `finish_speaking`."""
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        if self._stream is not None:
            self._stream.stop()
            self._stream = None
        self._connection.close()

    def _close_audio(self) -> None:
        if self._audio is not None:
            self._audio.close()
