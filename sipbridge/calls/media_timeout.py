"""Noticing that a far end sends no audio any more."""

from __future__ import annotations

import asyncio

from sipbridge.aio import wait_any
from sipbridge.calls.ports import Leg
from sipbridge.errors import LegGone

# A look is a question to the SIP thread. Alone it takes 0.13 ms of processor time, most of it for the hand-over between
# the threads, and 5 us together with others. So looks wait for a quarter of a second that is the same for all calls:
# those of 1,000 calls take some 0.2 % of a core.
_LONGEST_LOOK_SECONDS = 5.0
_SHORTEST_LOOK_SECONDS = 0.05
_TOGETHER_SECONDS = 0.25


async def media_timed_out(leg: Leg, seconds: float, *, from_the_start: bool = False) -> bool:
    """Return True once no RTP has come for `seconds`, False when the leg ends before.

    Silence counts from the first packet on, or from now on where one was due `from_the_start`; never while none is due
    (on hold, RFC 3264, 8.4). It is counted in looks, so that a pause of ours is not taken for one of the far end's.
    """
    look = min(_LONGEST_LOOK_SECONDS, max(_SHORTEST_LOOK_SECONDS, seconds / 4))
    heard, packets, quiet = from_the_start, 0, 0.0
    while quiet < seconds:
        await wait_any(leg.ended, timeout=_until_next(look))
        if leg.ended.done():
            return False
        try:
            now = await leg.packets_received()
        except LegGone:
            continue
        if now is None:
            quiet = 0.0
        elif now != packets:
            heard, packets, quiet = True, now, 0.0
        elif heard:
            quiet += look
    return True


def _until_next(look: float) -> float:
    """Return the seconds until a look that is due in about `look` seconds, together with those of other calls."""
    if look < 2 * _TOGETHER_SECONDS:
        return look
    now = asyncio.get_running_loop().time()
    return round((now + look) / _TOGETHER_SECONDS) * _TOGETHER_SECONDS - now
