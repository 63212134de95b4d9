from __future__ import annotations

import asyncio
from typing import cast

from sipbridge.sip.audio import AudioPump
from sipbridge.sip.dialogs import LegTable
from sipbridge.sip.leg import MAX_EARLY_DIGITS, SipLeg
from sipbridge.sip.thread import SipThread


async def test_digits_that_come_before_the_listener_are_kept_for_it() -> None:
    """A caller may press one with the ACK, before the conversation has begun."""
    nothing = object()
    loop = asyncio.get_running_loop()
    leg = SipLeg(loop, cast("SipThread", nothing), cast("LegTable", nothing), cast("AudioPump", nothing))
    pressed: list[str] = []
    for digit in "12":
        leg.key_pressed(digit)
    leg.on_digit(pressed.append)
    leg.key_pressed("3")
    assert pressed == ["1", "2", "3"]
    flooded = SipLeg(loop, cast("SipThread", nothing), cast("LegTable", nothing), cast("AudioPump", nothing))
    for _ in range(10 * MAX_EARLY_DIGITS):
        flooded.key_pressed("0")
    flooded.on_digit(pressed.append)
    assert len(pressed) == 3 + MAX_EARLY_DIGITS
