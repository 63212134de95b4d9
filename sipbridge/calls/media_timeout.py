"""The media timeout: the detection of a peer that sends no audio any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipbridge.aio import wait_any
from sipbridge.calls.ports.sip import Leg
from sipbridge.errors import LegEnded

# A poll asks the SIP thread for the packet count. Alone it takes 0.13 ms of processor time, most of it to switch
# threads, and 5 us together with others. So polls are aligned to the same quarter of a second for all calls: those of
# 1,000 calls take some 0.2 % of a core.
_LONGEST_POLL_SECONDS = 5.0
_SHORTEST_POLL_SECONDS = 0.05
_ALIGNED_SECONDS = 0.25


class MediaWatch:
    """Calls `on_timeout` at the media timeout of a leg, if there is one, until `stop`.

    Before the first poll it is a timer and not a task: many calls are handed off at once.
    """

    def __init__(self, leg: Leg, seconds: float | None, on_timeout: Callable[[], None]) -> None:
        self._leg = leg
        self._on_timeout = on_timeout
        self._work: asyncio.TimerHandle | asyncio.Task[None] | None = None
        if seconds is not None:
            due = _seconds_to_next(_poll_seconds(seconds))
            self._work = asyncio.get_running_loop().call_later(due, self._begin, seconds)

    def stop(self) -> None:
        """Watch no longer."""
        if self._work is not None:
            self._work.cancel()

    def _begin(self, seconds: float) -> None:
        self._work = asyncio.create_task(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        if await media_timed_out(self._leg, seconds, poll_is_due=True):
            self._on_timeout()


async def media_timed_out(leg: Leg, seconds: float, *, from_the_start: bool = False, poll_is_due: bool = False) -> bool:
    """Return True once no RTP has come for `seconds`, False if the leg ends before.

    The time counts from the first packet, or from now if packets are due `from_the_start`, but never while none are due
    (on hold, RFC 3264, 8.4). It is counted in polls, so that a pause of ours is not taken for one of the peer's.
    With `poll_is_due` the wait for the first poll is over.
    """
    poll = _poll_seconds(seconds)
    heard, packets, quiet = from_the_start, 0, 0.0
    while quiet < seconds:
        if poll_is_due:
            poll_is_due = False
        else:
            await wait_any(leg.ended, timeout=_seconds_to_next(poll))
        if leg.ended.done():
            return False
        try:
            now = await leg.packets_received()
        except LegEnded:
            continue
        if now is None:
            quiet = 0.0
        elif now != packets:
            heard, packets, quiet = True, now, 0.0
        elif heard:
            quiet += poll
    return True


def _poll_seconds(timeout: float) -> float:
    return min(_LONGEST_POLL_SECONDS, max(_SHORTEST_POLL_SECONDS, timeout / 4))


def _seconds_to_next(poll: float) -> float:
    """Return the seconds to a poll that is due in about `poll` seconds, aligned with those of other calls."""
    if poll < 2 * _ALIGNED_SECONDS:
        return poll
    now = asyncio.get_running_loop().time()
    return round((now + poll) / _ALIGNED_SECONDS) * _ALIGNED_SECONDS - now
