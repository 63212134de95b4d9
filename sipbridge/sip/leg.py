"""A leg as the event loop sees it: futures for the events of its dialog, coroutines for its commands."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sipbridge.aio import wait_any
from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports.sip import AudioListener, Headers, Leg, ReferHandler, ReferOutcome, Referral, ReferResult
from sipbridge.errors import DialFailed, LegEnded
from sipbridge.sip.audio import AudioPump, LegAudio
from sipbridge.sip.dialog import Dialog
from sipbridge.sip.thread import SipThread
from sipbridge.telephony.sip_status import is_success

# A pause of this length ends a sentence.
PAUSE_SECONDS = 0.4
# A mu-law magnitude (G.711); callers do not hear a level below it.
AUDIBLE = 12
_POLL_SECONDS = 0.04
MAX_EARLY_DIGITS = 32

T = TypeVar("T")


class SipLeg:
    """Implements `calls.ports.Leg` on the event loop, and `DialogListener` for its dialog on the SIP thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread: SipThread,
        dialog: Dialog,
        pump: AudioPump,
        target: str = "",
    ) -> None:
        """Make the leg of an incoming INVITE, or of one to `target`, such as `tcp://10.0.0.1:5060`."""
        self.began = time.monotonic()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[LegEnd] = loop.create_future()
        self.early: asyncio.Future[None] = loop.create_future()
        self.responded: asyncio.Future[None] = loop.create_future()
        # A call need not wait for it; asyncio would log an exception that nothing has retrieved.
        self.answered.add_done_callback(_retrieve_exception)
        self._loop = loop
        self._thread = thread
        self._dialog = dialog
        self._pump = pump
        self._target = target
        self._answered_at = 0.0
        self._played: asyncio.Future[None] | None = None
        # None is the outcome of a REFER that was not sent.
        self._referred: asyncio.Future[ReferOutcome | None] | None = None
        self._audio: LegAudio | None = None
        self._digit_listener: Callable[[str], None] | None = None
        # DTMF digits that came before the listener: a caller may press one with the ACK.
        self._early_digits: deque[str] = deque(maxlen=MAX_EARLY_DIGITS)
        self._note_bye: Callable[[Callable[[], None]], bool] | None = None
        self._referral_ticket = 0

    # ------------------------------------------------------------ commands

    async def ring(self) -> None:
        """Send 180."""
        await self._run(partial(self._dialog.progress, 180))

    async def send_early_media(self) -> None:
        """Send 183 with SDP."""
        await self._run(partial(self._dialog.progress, 183))

    async def answer(self, headers: Headers) -> float:
        """Send 200 and wait for the ACK; return the seconds from INVITE to 200."""
        self._thread.post(partial(self._dialog.answer, dict(headers)))
        await self._wait_for(self.answered)
        return self._answered_at - self.began

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        """End the leg. Return when its dialog is over."""
        if not self.ended.done():
            self._thread.post(partial(self._dialog.hang_up, sip_status, reason, dict(headers or {})))
        await wait_any(self.ended)

    async def refer(
        self, uri: str, headers: Headers, timeout_seconds: float, *, then_bye: bool = False
    ) -> ReferOutcome:
        """Send REFER; return its outcome. Raises `LegEnded` if it was not sent."""
        self._referred = self._loop.create_future()
        self._thread.post(partial(self._dialog.refer, uri, dict(headers), then_bye=then_bye))
        await wait_any(self._referred, self.ended, timeout=timeout_seconds)
        if self._referred.done():
            outcome = self._referred.result()
        else:
            # If the leg ends after the REFER, `refer_cut_off` comes before its end.
            outcome = None if self.ended.done() else ReferOutcome(ReferResult.NO_NOTIFY, 0)
        if outcome is None:
            raise LegEnded("the REFER was not sent")
        return outcome

    def notify(self, sip_status: int, reason: str) -> None:
        """Send the final NOTIFY for the REFER that was accepted last."""
        self._thread.post(partial(self._dialog.notify, self._referral_ticket, sip_status, reason))

    async def play(self, clip: str) -> None:
        """Play a clip. Return when its last sample has been sent; stop the clip if the wait is cancelled."""
        self._played = self._loop.create_future()
        try:
            await self._run(partial(self._dialog.play, clip))
            await self._wait_for(self._played)
        except asyncio.CancelledError:
            self._thread.post(self._dialog.stop_playing)
            raise

    async def join(self, other: Leg, withheld_digit: str | None = None) -> None:
        """Connect the audio of two legs both ways. The other one does not get the withheld DTMF digit as RTP."""
        if not isinstance(other, SipLeg):
            raise TypeError("a SIP leg can be joined to another SIP leg only")
        await self._run(partial(self._dialog.join, other._dialog, withheld_digit or ""))  # noqa: SLF001 (another of this class)

    async def part(self) -> None:
        """Undo `join`."""
        await self._thread.run(self._dialog.part)

    async def open_audio(self, listener: AudioListener) -> LegAudio:
        """Connect an audio stream to the leg."""
        stream = self._pump.open(listener)
        connect = partial(self._run, partial(self._dialog.open_stream, stream))
        # Before the command, so that the end of the dialog closes it even if both happen in the same moment.
        audio = self._audio = LegAudio(self._pump, stream, connect, self._close_stream)
        try:
            await connect()
        except BaseException:
            audio.close()
            raise
        return audio

    def _close_stream(self) -> None:
        self._thread.post(self._dialog.close_stream)

    async def wait_for_silence(self) -> None:
        """Return when the far end has been silent for `PAUSE_SECONDS`."""
        silent_since = self._loop.time()
        while self._loop.time() - silent_since < PAUSE_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            if await self._run(self._dialog.level) >= AUDIBLE:
                silent_since = self._loop.time()

    async def packets_received(self) -> int | None:
        """Return the number of RTP packets so far, None while none are due."""
        return await self._run(self._dialog.packets_received)

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        """Note the far end's BYE before it gets its response."""
        self._note_bye = note

    def on_digit(self, listener: Callable[[str], None]) -> None:
        """Notify this listener of every DTMF digit of the far end that no joined leg gets, those so far included."""
        if not self.ended.done():
            self._digit_listener = listener
        while self._early_digits:
            listener(self._early_digits.popleft())

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit."""
        self._thread.post(partial(self._dialog.send_dtmf_digit, digit))

    async def _run(self, command: Callable[[], T]) -> T:
        """Execute a command of the dialog. Raises `LegEnded` if the leg has ended."""
        if self.ended.done():
            raise LegEnded("the leg has ended")
        return await self._thread.run(command)

    async def _wait_for(self, event: asyncio.Future[None]) -> None:
        """Wait for an event. Raises `LegEnded` if the leg ends before."""
        await wait_any(event, self.ended)
        # An ACK counts, even if a BYE has followed it at once.
        if not event.done() or event.exception() is not None:
            raise LegEnded("the leg has ended")

    # ------------------------------------------------------------ events of the dialog

    def holds_bye(self, release: Callable[[], None]) -> bool:
        """Return true if the far end's BYE is to be held until `release` is called. On the SIP thread."""
        return self._note_bye is not None and self._note_bye(release)

    def response_received(self) -> None:
        """The far end has responded to our INVITE."""
        _complete(self.responded)

    def media_negotiated(self) -> None:
        """Offer and answer of our INVITE are complete."""
        _complete(self.early)

    def confirmed(self, answered_at: float) -> None:
        """The ACK or the far end's 2xx came."""
        self._answered_at = answered_at
        _complete(self.answered)

    def dtmf_digit_received(self, digit: str) -> None:
        """The far end pressed a DTMF digit."""
        if self._digit_listener is None:
            self._early_digits.append(digit)
        else:
            self._digit_listener(digit)

    def clip_finished(self) -> None:
        """The last sample of the clip has been sent."""
        if self._played is not None:
            _complete(self._played)

    def refer_rejected(self, sip_status: int) -> None:
        """The REFER got a final failure."""
        self._complete_refer(ReferOutcome(ReferResult.REFUSED, sip_status))

    def refer_ended(self, sip_status: int) -> None:
        """A NOTIFY gave the final status; 0 if none can come any more (RFC 3515, 2.4.5; RFC 6665, 4.1.3)."""
        if sip_status == 0:
            result = ReferResult.NO_NOTIFY
        elif is_success(sip_status):
            result = ReferResult.ACCEPTED
        else:
            result = ReferResult.FAILED
        self._complete_refer(ReferOutcome(result, sip_status))

    def refer_not_sent(self) -> None:
        """PJSIP could not send the REFER."""
        self._complete_refer(None)

    def refer_cut_off(self, *, by_peer: bool) -> None:
        """The dialog ends before the outcome of the REFER is known."""
        self._complete_refer(ReferOutcome(ReferResult.PEER_HUNG_UP if by_peer else ReferResult.NO_NOTIFY, 0))

    def _complete_refer(self, outcome: ReferOutcome | None) -> None:
        if self._referred is not None and not self._referred.done():
            self._referred.set_result(outcome)

    def referral_accepted(self, ticket: int, refer_handler: ReferHandler, referral: Referral) -> None:
        """A REFER of the far end got 202."""
        self._referral_ticket = ticket
        refer_handler.accepted(referral)

    def dialog_ended(self, end: LegEnd, contacts: tuple[str, ...]) -> None:
        """The dialog is over."""
        if not self.ended.done():
            self.ended.set_result(end)
        if self._audio is not None:
            self._audio.close()
        # These refer to this leg, in part through the call: cycles would keep all of them in memory.
        self._digit_listener = self._note_bye = self._audio = None
        if not self.answered.done():
            message = self._describe_failure(end)
            self.answered.set_exception(DialFailed(end.sip_status, message, contacts, self._target))

    def _describe_failure(self, end: LegEnd) -> str:
        if end.failure is LegFailure.TRANSPORT_FAILED:
            return f"no connection to {self._target}: {end.detail}"
        return f"not answered: {end.sip_status}" if end.failure is None else f"{end.failure}: {end.sip_status}"


def _complete(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_result(None)


def _retrieve_exception(answered: asyncio.Future[None]) -> None:
    with suppress(asyncio.CancelledError):
        answered.exception()
