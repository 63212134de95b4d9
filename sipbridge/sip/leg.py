"""A leg as the event loop sees it: futures for what PJSIP will tell, coroutines for what it shall do."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from sipbridge.aio import wait_any
from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports import AudioListener, Headers, Leg, ReferHandler, ReferOutcome, Referral, ReferResult
from sipbridge.errors import DialFailed, LegGone
from sipbridge.sip.audio import AudioPump, LegAudio

if TYPE_CHECKING:
    from sipbridge.sip.dialogs import LegTable
    from sipbridge.sip.thread import SipThread

_numbers = count(1)

# A pause this long ends a sentence; a level below this, a mu-law magnitude, is none that a caller hears (G.711).
PAUSE_SECONDS = 0.4
AUDIBLE = 12
_LOOK_SECONDS = 0.04
MAX_EARLY_DIGITS = 32

T = TypeVar("T")


class SipLeg:
    """Implements `calls.ports.Leg`. Its dialog lives on the SIP thread, under the leg's number."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread: SipThread,
        table: LegTable,
        pump: AudioPump,
        target: str = "",
    ) -> None:
        """Make the leg of an INVITE that came, or of one that goes to `target`: `tcp://10.0.0.1:5060`."""
        self.number = next(_numbers)
        self.began = time.monotonic()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[LegEnd] = loop.create_future()
        self.early: asyncio.Future[None] = loop.create_future()
        self.responded: asyncio.Future[None] = loop.create_future()
        # Whether anybody waits for the answer is theirs to decide.
        self.answered.add_done_callback(_look_at)
        self._loop = loop
        self._thread = thread
        self._table = table
        self._pump = pump
        self._target = target
        self._answered_at = 0.0
        self._played: asyncio.Future[None] | None = None
        self._referred: asyncio.Future[ReferOutcome] | None = None
        self._audio: LegAudio | None = None
        self._listener: Callable[[str], None] | None = None
        # DTMF digits that came before the listener: a caller may press one with the ACK.
        self._early_digits: deque[str] = deque(maxlen=MAX_EARLY_DIGITS)
        self._note_bye: Callable[[Callable[[], None]], bool] | None = None
        self._ticket = 0

    # ------------------------------------------------------------ commands

    async def ring(self) -> None:
        """Send 180."""
        await self._command(partial(self._table.progress, self.number, 180))

    async def send_early_media(self) -> None:
        """Send 183 with SDP."""
        await self._command(partial(self._table.progress, self.number, 183))

    async def answer(self, headers: Headers) -> float:
        """Send 200 and wait for the ACK; returns the seconds from INVITE to 200."""
        self._thread.post(partial(self._table.answer, self.number, dict(headers)))
        await self._or_gone(self.answered)
        return self._answered_at - self.began

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        """End the leg; returns when its dialog is over."""
        if not self.ended.done():
            self._thread.post(
                partial(self._table.hang_up, self.number, sip_status, reason, dict(headers or {})),
            )
        await asyncio.shield(self.ended)

    async def refer(self, uri: str, headers: Headers, timeout_seconds: float) -> ReferOutcome:
        """Blind transfer; returns what became of it."""
        self._referred = self._loop.create_future()
        self._thread.post(partial(self._table.refer, self.number, uri, dict(headers)))
        await wait_any(self._referred, self.ended, timeout=timeout_seconds)
        if self._referred.done():
            return self._referred.result()
        peer_hung_up = self.ended.done() and self.ended.result().by_peer
        return ReferOutcome(ReferResult.PEER_HUNG_UP if peer_hung_up else ReferResult.NO_NOTIFY, 0)

    def notify(self, sip_status: int, reason: str) -> None:
        """Tell the far end what became of its REFER."""
        self._thread.post(partial(self._table.notify, self._ticket, sip_status, reason))

    async def play(self, clip: str) -> None:
        """Play a clip; returns when its last sample has left, stops where the wait is cancelled."""
        self._played = self._loop.create_future()
        await self._command(partial(self._table.play, self.number, clip))
        try:
            await self._or_gone(self._played)
        except asyncio.CancelledError:
            self._thread.post(partial(self._table.stop_playing, self.number))
            raise

    async def join(self, other: Leg) -> None:
        """Connect the audio of the two both ways."""
        if not isinstance(other, SipLeg):
            raise TypeError("a SIP leg can be joined to another SIP leg only")
        await self._command(partial(self._table.join, self.number, other.number))

    async def part(self) -> None:
        """Undo `join`."""
        await self._thread.run(partial(self._table.part, self.number))

    async def open_audio(self, listener: AudioListener) -> LegAudio:
        """Connect a stream to the leg's audio."""
        stream = self._pump.open(listener)
        audio = LegAudio(self._pump, stream, self._close_stream)
        try:
            await self._command(partial(self._table.open_stream, self.number, stream))
        except BaseException:
            audio.close()
            raise
        self._audio = audio
        return audio

    def _close_stream(self) -> None:
        self._thread.post(partial(self._table.close_stream, self.number))

    async def fall_silent(self) -> None:
        """Return once the far end has been quiet for a moment."""
        quiet_since = self._loop.time()
        while self._loop.time() - quiet_since < PAUSE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            if await self._command(partial(self._table.level, self.number)) >= AUDIBLE:
                quiet_since = self._loop.time()

    async def packets_received(self) -> int | None:
        """RTP packets that came so far; None while none are due."""
        return await self._command(partial(self._table.packets_received, self.number))

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        """Have the far end's BYE noted before it is answered."""
        self._note_bye = note

    def on_digit(self, listener: Callable[[str], None]) -> None:
        """Notify this listener of every DTMF digit that the far end presses, and pressed so far."""
        self._listener = listener
        while self._early_digits:
            listener(self._early_digits.popleft())

    def send_digit(self, digit: str) -> None:
        """Press a key."""
        self._thread.post(partial(self._table.send_digit, self.number, digit))

    async def _command(self, command: Callable[[], T]) -> T:
        if self.ended.done():
            raise LegGone("the far end has hung up")
        return await self._thread.run(command)

    async def _or_gone(self, news: asyncio.Future[None]) -> None:
        await wait_any(news, self.ended)
        # What came first counts: an ACK is an ACK, though a BYE is hard on its heels.
        if not news.done() or news.exception() is not None:
            raise LegGone("the far end has hung up")

    # ------------------------------------------------------------ on the SIP thread

    def holds_bye(self, answer: Callable[[], None]) -> bool:
        """True if the far end's BYE is to be held until `answer` is called."""
        return self._note_bye is not None and self._note_bye(answer)

    # ------------------------------------------------------------ news from the SIP thread, on the loop

    def confirmed(self, answered_at: float) -> None:
        """The dialog is confirmed: ACK came, or the far end's 2xx did. We sent our 200 at `answered_at`, if we did."""
        self._answered_at = answered_at
        if not self.answered.done():
            self.answered.set_result(None)

    def clip_finished(self) -> None:
        """The last sample of the clip has left."""
        if self._played is not None and not self._played.done():
            self._played.set_result(None)

    def refer_rejected(self, sip_status: int) -> None:
        """The REFER got a final failure."""
        self._settle_refer(ReferOutcome(ReferResult.REFUSED, sip_status))

    def refer_ended(self, sip_status: int) -> None:
        """A NOTIFY gave the final status; 0 where none can come any more (RFC 3515, 2.4.5; RFC 6665, 4.1.3)."""
        if sip_status == 0:
            result = ReferResult.NO_NOTIFY
        elif sip_status < 300:  # noqa: PLR2004 (a 2xx)
            result = ReferResult.ACCEPTED
        else:
            result = ReferResult.FAILED
        self._settle_refer(ReferOutcome(result, sip_status))

    def _settle_refer(self, outcome: ReferOutcome) -> None:
        if self._referred is not None and not self._referred.done():
            self._referred.set_result(outcome)

    def response_came(self) -> None:
        """The far end has responded to our INVITE, whatever it said."""
        if not self.responded.done():
            self.responded.set_result(None)

    def audio_offered(self) -> None:
        """Offer and answer are done, whether the far end has answered the call or not."""
        if not self.early.done():
            self.early.set_result(None)

    def key_pressed(self, digit: str) -> None:
        """The far end pressed a key."""
        if self._listener is None:
            self._early_digits.append(digit)
        else:
            self._listener(digit)

    def referral_accepted(self, ticket: int, refer_handler: ReferHandler, referral: Referral) -> None:
        """A REFER was answered 202."""
        self._ticket = ticket
        refer_handler.accepted(referral)

    def dialog_ended(self, end: LegEnd, contacts: tuple[str, ...]) -> None:
        """The dialog is over."""
        if not self.ended.done():
            self.ended.set_result(end)
        # They lead to the call, which has this leg: together they would stay in memory.
        self._listener = self._note_bye = None
        if self._audio is not None:
            self._audio.close()
        if not self.answered.done():
            self.answered.set_exception(DialFailed(end.sip_status, self._why_unanswered(end), contacts))

    def _why_unanswered(self, end: LegEnd) -> str:
        if end.failure is LegFailure.TRANSPORT_FAILED:
            return f"no connection to {self._target}: {end.detail}"
        return f"not answered: {end.sip_status}" if end.failure is None else f"{end.failure}: {end.sip_status}"


def _look_at(answered: asyncio.Future[None]) -> None:
    with suppress(asyncio.CancelledError):
        answered.exception()
