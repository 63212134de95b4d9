"""SIP legs with no SIP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fakes.journal import Journal
from sipbridge.calls.model import LegEnd
from sipbridge.calls.ports import Dialler, Headers, Leg, ReferOutcome, ReferResult
from sipbridge.errors import DialFailed, LegGone


class FakeLeg:
    """Implements `Leg`, and behaves as `SipLeg` does: a leg that ends unanswered fails its `answered`."""

    def __init__(self, journal: Journal, name: str = "caller") -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[LegEnd] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.answered.add_done_callback(_look_at)
        self.referring: ReferOutcome | Exception = ReferOutcome(ReferResult.ACCEPTED, 200)
        self.answering: Exception | None = None
        self.playing: Exception | None = None
        self.joining: Exception | None = None
        self.answer_headers: Headers = {}
        self.refers: list[tuple[str, Headers, float]] = []
        self.hang_ups: list[int] = []
        self.joined: Leg | None = None
        self._journal = journal
        self._name = name

    # ------------------------------------------------------------ what calls ask

    async def ring(self) -> None:
        self._must_be_up()
        await self._journal.reach(f"{self._name}.ring")

    async def answer(self, headers: Headers) -> float:
        self._must_be_up()
        self.answer_headers = headers
        await self._journal.reach(f"{self._name}.answer")
        if self.answering is not None:
            raise self.answering
        self._must_be_up()
        self.far_end_answers()
        return 0.25

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        assert not headers
        assert not reason
        if self.ended.done():
            return
        self.hang_ups.append(sip_status)
        await self._journal.reach(f"{self._name}.hang_up")
        self._end(by_peer=False, sip_status=sip_status)

    async def refer(self, uri: str, headers: Headers, timeout_seconds: float) -> ReferOutcome:
        self._must_be_up()
        self.refers.append((uri, headers, timeout_seconds))
        await self._journal.reach(f"{self._name}.refer")
        if isinstance(self.referring, Exception):
            raise self.referring
        return self.referring

    async def play(self, clip: Path) -> None:
        self._must_be_up()
        try:
            await self._journal.reach(f"{self._name}.play {clip.name}")
        except asyncio.CancelledError:
            self._journal.note(f"{self._name}.stop {clip.name}")
            raise
        if self.playing is not None:
            raise self.playing
        self._must_be_up()

    async def join(self, other: Leg) -> None:
        self._must_be_up()
        self.joined = other
        await self._journal.reach(f"{self._name}.join")
        if self.joining is not None:
            raise self.joining

    # ------------------------------------------------------------ what the far end does

    def far_end_answers(self) -> None:
        """The far end sends its 2xx, or its ACK of ours."""
        if not self.answered.done():
            self.answered.set_result(None)

    def far_end_refuses(self, sip_status: int) -> None:
        """A final answer that is none of ours, to an INVITE of ours."""
        self._end(by_peer=True, sip_status=sip_status)

    def far_end_hangs_up(self) -> None:
        """BYE or CANCEL comes."""
        self._end(by_peer=True, sip_status=200)

    def _end(self, *, by_peer: bool, sip_status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(LegEnd(by_peer=by_peer, sip_status=sip_status, at=datetime.now(UTC)))
        if not self.answered.done():
            self.answered.set_exception(DialFailed(sip_status, f"not answered: {sip_status}"))

    def _must_be_up(self) -> None:
        if self.ended.done():
            raise LegGone("the far end has hung up")


class FakeDialler:
    """Implements `Dialler`: gives out the one leg it was made with, or fails."""

    def __init__(self, journal: Journal, leg: FakeLeg) -> None:
        self.leg = leg
        self.failing: DialFailed | None = None
        self.dialled: list[tuple[str, Headers, str]] = []
        self._journal = journal

    async def dial(self, uri: str, headers: Headers, caller: str) -> FakeLeg:
        self.dialled.append((uri, headers, caller))
        await self._journal.reach("dial")
        if self.failing is not None:
            raise self.failing
        return self.leg


def _look_at(answered: asyncio.Future[None]) -> None:
    with suppress(asyncio.CancelledError):
        answered.exception()


def _implements(leg: FakeLeg, dialler: FakeDialler) -> tuple[Leg, Dialler]:
    return leg, dialler
