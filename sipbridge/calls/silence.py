"""Noticing that a far end sends no audio any more."""

from __future__ import annotations

from sipbridge.calls.ports import Leg
from sipbridge.errors import LegGone
from sipbridge.waiting import first_of

# One look is a question to the SIP thread; at the longest the audio of 1,000 calls takes 200 of them a second.
_LONGEST_LOOK_SECONDS = 5.0
_SHORTEST_LOOK_SECONDS = 0.05


async def falls_silent(leg: Leg, seconds: float, *, from_the_start: bool = False) -> bool:
    """Return True once no RTP has come for `seconds`, False when the leg ends before.

    Silence counts from the first packet on, or from now on where one was due `from_the_start`; never while none is due
    (on hold, RFC 3264, 8.4). It is counted in looks, so that a pause of ours is not taken for one of the far end's.
    """
    look = min(_LONGEST_LOOK_SECONDS, max(_SHORTEST_LOOK_SECONDS, seconds / 4))
    heard, packets, quiet = from_the_start, 0, 0.0
    while quiet < seconds:
        await first_of(leg.ended, timeout=look)
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
