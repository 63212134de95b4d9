"""The customer's typing, by requests that may be slow or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipbridge.aio import BackgroundTasks
from sipbridge.cxone.digital.typing import Typing
from sipbridge.errors import HttpError

ON, OFF = True, False


class Agent:
    """A human agent who sees typing. `seen` has the states; while `gate` is closed, requests take their time."""

    def __init__(self, may_show: Callable[[], bool] = lambda: True) -> None:
        self.seen: list[bool] = []
        self.faults: list[str] = []
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._background = BackgroundTasks()
        self.typing = Typing(self.show, self._background.start, lambda word, _: self.faults.append(word), may_show)

    async def show(self, on: bool) -> None:  # noqa: FBT001 (as `Typing` calls it)
        await self.gate.wait()
        if self.fails:
            raise HttpError("no response")
        self.seen.append(on)

    async def set(self, *states: bool) -> None:
        """Set states, one at a time unless the requests are slow."""
        for on in states:
            self.typing.set(on=on)
            await asyncio.sleep(0)  # the request begins
            if self.gate.is_set():
                await self._background.wait()

    async def settle(self) -> None:
        self.gate.set()
        await self._background.wait()


async def test_a_state_is_shown_once() -> None:
    agent = Agent()
    await agent.set(OFF, ON, ON, ON, OFF, OFF, ON)
    assert agent.seen == [True, False, True]


async def test_slow_requests_keep_their_order_and_only_the_last_state_counts() -> None:
    agent = Agent()
    agent.gate.clear()
    await agent.set(ON, OFF, ON, OFF)
    await agent.settle()
    assert agent.seen == [True, False]


async def test_typing_is_shown_again_after_a_message() -> None:
    agent = Agent()
    await agent.set(ON)
    agent.typing.message_sent()
    await agent.set(ON)
    assert agent.seen == [True, True]


async def test_a_message_that_overtakes_the_typing_ends_it() -> None:
    agent = Agent()
    agent.gate.clear()
    await agent.set(ON)
    agent.typing.message_sent()
    await agent.settle()
    assert agent.seen[-1:] in ([], [False])


async def test_what_may_not_be_shown_is_left_out_but_the_end_of_typing_is_not() -> None:
    allowed = [True, False, True]
    agent = Agent(lambda: allowed.pop(0))
    await agent.set(ON, OFF, ON, OFF, ON)
    assert agent.seen == [True, False, True]


async def test_a_failure_is_a_fault_and_nothing_else() -> None:
    agent = Agent()
    agent.fails = True
    await agent.set(ON)
    agent.fails = False
    await agent.set(OFF, ON)
    assert (agent.seen, agent.faults) == ([False, True], ["typing_not_shown"])
