"""One caller talking to the agent, over as many sockets as that takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from sipbridge.agents.presence import TRIAL_SECONDS, took_call
from sipbridge.agents.websocket.connection import CLOSED_WELL, CLOSED_WITHOUT_CODE, Link
from sipbridge.agents.websocket.playback import Playback
from sipbridge.agents.websocket.protocols.twilio.messages import CallLabels
from sipbridge.agents.websocket.protocols.twilio.stream import MediaStream
from sipbridge.calls.ports import AudioStream, ConversationEnd, Leg, LiveCall
from sipbridge.errors import AgentLost, AgentUnavailable
from sipbridge.handoffs.record import HandoffRecord

# Seconds before each attempt to have a dropped socket back; a socket that held for so long starts the series anew.
RECONNECT_DELAYS = (0.0, 1.0, 2.0, 4.0)
STEADY_SECONDS = 10.0
MAX_EARLY_DIGITS = 32


class WebsocketConversation:
    """Implements `calls.ports.Conversation`. `link` is open; `reopen` opens another to the same agent."""

    def __init__(
        self,
        link: Link,
        reopen: Callable[[], Awaitable[Link]],
        leg: Leg,
        labels: CallLabels,
        silence_timeout_seconds: float | None,
    ) -> None:
        self._link = link
        self._reopen = reopen
        self._leg = leg
        self._labels = labels
        self._silence_timeout_seconds = silence_timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._audio: AudioStream | None = None
        self._playback: Playback | None = None
        self._stream: MediaStream | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
        self._early_digits: deque[str] | None = deque(maxlen=MAX_EARLY_DIGITS)

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Talk until the agent closes its socket. Raises `AgentLost`."""
        try:
            self._audio = await self._leg.open_audio(self._hear)
            playback = self._playback = Playback(self._audio, self._loop.time)
            self._watch_silence(playback)
            return await self._talk(call, playback)
        finally:
            self._fall_silent()

    async def finish_speaking(self) -> None:
        """Return once what is queued has been played."""
        if self._audio is not None:
            await self._audio.played_out()

    def press(self, digit: str) -> None:
        """Send `dtmf`: a digit from before the stream with its start; one while the socket is down is lost."""
        if self._stream is not None:
            self._stream.press(digit)
        elif self._early_digits is not None:
            self._early_digits.append(digit)

    async def close(self, handoff: HandoffRecord | None) -> None:  # noqa: ARG002 (Media Streams cannot tell of it)
        """Close the socket, if it is still open."""
        self._link.close()

    # ------------------------------------------------------------ inside

    async def _talk(self, call: LiveCall, playback: Playback) -> ConversationEnd:
        delays = iter(RECONNECT_DELAYS)
        while True:
            stream = self._stream = MediaStream(self._link, call, playback, self._labels)
            stream.start()
            early, self._early_digits = self._early_digits, None
            for digit in early or ():
                stream.press(digit)
            since = self._loop.time()
            code = await self._link.ended
            self._stream = None
            self._link.close()
            if code in (CLOSED_WELL, CLOSED_WITHOUT_CODE):
                if not took_call(self._link.lasted_seconds, spoke=stream.spoke, asked=stream.asked):
                    raise AgentLost(f"it closed its socket within {TRIAL_SECONDS:g} s and had sent no audio")
                return ConversationEnd(None)
            if self._loop.time() - since >= STEADY_SECONDS:
                delays = iter(RECONNECT_DELAYS)
            self._link = await self._reconnect(delays, code)
            playback.note_life()
            call.note_fault("reconnected", f"the socket ended with {code} and was opened again")

    async def _reconnect(self, delays: Iterator[float], code: int) -> Link:
        why = "it dropped again and again"
        for delay in delays:
            await asyncio.sleep(delay)
            try:
                return await self._reopen()
            except AgentUnavailable as error:
                why = str(error)
        raise AgentLost(f"its socket ended with {code} and did not come back: {why}")

    def _hear(self, audio: bytes, played: int) -> None:
        """Take what the caller said, and how much of the agent has been played. Runs each 20 ms."""
        if self._playback is None:
            return
        self._playback.played = played
        if self._stream is not None:
            self._stream.hear(audio)

    def _watch_silence(self, playback: Playback) -> None:
        """Look again when the agent may have been silent for too long: no timer is moved by a message."""
        if self._silence_timeout_seconds is None:
            return
        left = self._silence_timeout_seconds - playback.quiet_seconds()
        if left <= 0 and self._stream is not None:
            self._link.fail(AgentLost("silent"))
            return
        self._silence_timer = self._loop.call_later(
            left if left > 0 else self._silence_timeout_seconds, self._watch_silence, playback
        )

    def _fall_silent(self) -> None:
        """The agent neither hears nor speaks any more."""
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        if self._audio is not None:
            self._audio.close()
        if self._stream is not None:
            self._stream.stop()
            self._stream = None
        self._link.close()
