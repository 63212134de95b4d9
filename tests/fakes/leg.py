"""SIP legs without SIP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports.sip import AudioListener, Headers, Leg, ReferHandler, ReferOutcome, Referral, ReferResult
from sipbridge.errors import DialFailed, LegEnded
from tests.fakes.audio import FakeAudioStream
from tests.fakes.journal import Journal


class FakeLeg:
    """Implements `Leg`, and behaves as `SipLeg` does: a leg that ends unanswered fails its `answered`."""

    def __init__(self, journal: Journal, name: str = "caller") -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[LegEnd] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.early: asyncio.Future[None] = loop.create_future()
        self.responded: asyncio.Future[None] = loop.create_future()
        self.answered.add_done_callback(_mark_as_retrieved)
        self.referring: ReferOutcome | Exception = ReferOutcome(ReferResult.ACCEPTED, 200)
        self.answering: Exception | None = None
        self.playing: Exception | None = None
        self.joining: Exception | None = None
        self.answer_headers: Headers = {}
        self.refers: list[tuple[str, Headers, float]] = []
        self.hang_ups: list[int] = []
        self.joined: Leg | None = None
        self.withheld_digit: str | None = None
        self.refer_handler: ReferHandler | None = None
        self.notified: list[tuple[int, str]] = []
        self.digits = ""
        self.packets: int | None = 0
        self.audio: FakeAudioStream | None = None
        self.audio_stream = FakeAudioStream
        self.early_audio: list[bytes] = []  # comes before `open_audio` returns
        self.note_bye: Callable[[Callable[[], None]], bool] = _answers_at_once
        self._digit_listener: Callable[[str], None] | None = None
        self._answered = False
        self._journal = journal
        self._name = name

    # ------------------------------------------------------------ for calls

    async def ring(self) -> None:
        self._must_be_up()
        await self._journal.reach(f"{self._name}.ring")

    async def send_early_media(self) -> None:
        self._must_be_up()
        await self._journal.reach(f"{self._name}.early_media")

    async def answer(self, headers: Headers) -> float:
        self._must_be_up()
        self.answer_headers = headers
        self._answered = self.answering is None
        await self._journal.reach(f"{self._name}.answer")
        if self.answering is not None:
            raise self.answering
        self._must_be_up()
        self.far_end_answers()
        return 0.25

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        assert not reason
        if self.ended.done():
            return
        self.hang_ups.append(sip_status)
        self.hang_up_headers = dict(headers or {})
        await self._journal.reach(f"{self._name}.hang_up")
        self._end(by_peer=False, sip_status=sip_status)

    async def refer(
        self, uri: str, headers: Headers, timeout_seconds: float, *, then_bye: bool = False
    ) -> ReferOutcome:
        self._must_be_up()
        self.refers.append((uri, headers, timeout_seconds))
        await self._journal.reach(f"{self._name}.refer")
        if isinstance(self.referring, Exception):
            raise self.referring
        if then_bye and self.referring.result is ReferResult.ACCEPTED and not self.ended.done():
            self._journal.note(f"{self._name}.bye")
            self._end(by_peer=False, sip_status=200)
        return self.referring

    def notify(self, sip_status: int, reason: str) -> None:
        self.notified.append((sip_status, reason))
        self._journal.note(f"{self._name}.notify {sip_status}")

    async def play(self, clip: str) -> None:
        self._must_be_up()
        name = clip.rpartition("/")[2]
        try:
            await self._journal.reach(f"{self._name}.play {name}")
        except asyncio.CancelledError:
            self._journal.note(f"{self._name}.stop {name}")
            raise
        if self.playing is not None:
            raise self.playing
        self._must_be_up()

    async def join(self, other: Leg, withheld_digit: str | None = None) -> None:
        self._must_be_up()
        if other.ended.done():
            raise LegEnded("the far end has hung up")
        self.joined = other
        self.withheld_digit = withheld_digit
        await self._journal.reach(f"{self._name}.join")
        if self.joining is not None:
            raise self.joining

    async def part(self) -> None:
        self.joined = None
        self._journal.note(f"{self._name}.part")

    async def open_audio(self, listener: AudioListener) -> FakeAudioStream:
        self._must_be_up()
        self.audio = self.audio_stream(listener)
        for piece in self.early_audio:
            self.audio.turn(piece, play=0)
        return self.audio

    async def wait_for_silence(self) -> None:
        self._must_be_up()
        await self._journal.reach(f"{self._name}.wait_for_silence")

    async def packets_received(self) -> int | None:
        self._must_be_up()
        return self.packets

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        self.note_bye = note

    def on_digit(self, listener: Callable[[str], None]) -> None:
        self._digit_listener = listener

    def send_digit(self, digit: str) -> None:
        self.digits += digit

    # ------------------------------------------------------------ actions of the far end

    def far_end_answers(self) -> None:
        """Receive the 2xx of the far end, or its ACK."""
        if not self.answered.done():
            self.answered.set_result(None)

    def far_end_rejects(self, sip_status: int) -> None:
        """Receive a failure as the final response to our INVITE."""
        self._end(by_peer=True, sip_status=sip_status)

    def far_end_hangs_up(
        self, headers: Mapping[str, str] | None = None, *, heard: bool = True, audio_due: bool = True
    ) -> None:
        """Receive BYE or CANCEL, after audio or without any."""
        self._end(by_peer=True, sip_status=200, headers=headers, heard=heard, audio_due=audio_due)

    def stack_hangs_up(self, sip_status: int, failure: LegFailure = LegFailure.REQUEST_FAILED) -> None:
        """End the leg as PJSIP does on its own: after an unusable message, or after none."""
        self._end(by_peer=False, sip_status=sip_status, failure=failure)

    def far_end_sends_digit(self, digit: str) -> None:
        """Receive a DTMF digit."""
        if self._digit_listener is not None:
            self._digit_listener(digit)

    def far_end_offers_audio(self) -> None:
        """Receive early media."""
        self.early.set_result(None)

    def far_end_refers(self, refer_to: str, **headers: str) -> int:
        """Receive a REFER; `X_Handoff_Reason="…"` is a header of it. Return the status of the response."""
        referral = Referral(refer_to, {name.replace("_", "-"): value for name, value in headers.items()})
        if self.refer_handler is None:
            return 403
        status = self.refer_handler.decide(referral).sip_status
        if status < 300:
            self.refer_handler.accepted(referral)
        return status

    def _end(
        self,
        *,
        by_peer: bool,
        sip_status: int,
        headers: Mapping[str, str] | None = None,
        failure: LegFailure | None = None,
        heard: bool = False,
        audio_due: bool = False,
    ) -> None:
        self._digit_listener = None
        self.note_bye = _answers_at_once
        if not self.ended.done():
            self.ended.set_result(
                LegEnd(by_peer, sip_status, time.monotonic(), headers or {}, failure, heard, self._answered, audio_due)
            )
        if not self.answered.done():
            self.answered.set_exception(DialFailed(sip_status, f"not answered: {sip_status}"))

    def _must_be_up(self) -> None:
        if self.ended.done():
            raise LegEnded("the far end has hung up")


def _answers_at_once(_: Callable[[], None]) -> bool:
    return False


def _mark_as_retrieved(answered: asyncio.Future[None]) -> None:
    with suppress(asyncio.CancelledError):
        answered.exception()


def _implements(leg: FakeLeg) -> Leg:
    return leg
