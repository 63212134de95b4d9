"""The WebSocket agent of all calls: it talks to a caller for some seconds, and then hands the call off."""

from __future__ import annotations

import asyncio
import random

from tests.harness.media.media_agent import AgentCall, MediaAgent

SHORTEST_SECONDS, LONGEST_SECONDS = 0.3, 4.0
HELD = "held"  # begins the contacts of calls that last until something else ends them


class HandoffAgent(MediaAgent):
    """Hands each call off at a random moment of its conversation, except those of contacts that begin with `HELD`."""

    def __init__(self, seed: int) -> None:
        super().__init__(self._begin)
        self._chance = random.Random(seed)  # noqa: S311 (no secret)

    def _begin(self, call: AgentCall) -> None:
        self.calls.clear()  # there are thousands
        (_, start), *_ = call.events("start")
        if not str(start["start"]["customParameters"]["contact_id"]).startswith(HELD):
            seconds = self._chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
            asyncio.get_running_loop().call_later(seconds, _hand_off, call)


def _hand_off(call: AgentCall) -> None:
    call.received.clear()
    call.hand_off(reason="asked_for_human")
