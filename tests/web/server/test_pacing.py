from __future__ import annotations

import asyncio

from sipbridge.web.server.pacing import Pacer
from tests.harness.loop_turns import LoopTurns


async def test_pieces_that_are_due_together_run_one_per_turn_of_the_loop_in_order() -> None:
    pacer, ran = Pacer(), []
    with LoopTurns() as turns:

        async def piece(number: int) -> None:
            await pacer.next_turn()
            ran.append((turns.count, number))

        await asyncio.gather(*map(piece, range(20)))
    assert [number for _, number in ran] == list(range(20))
    assert len({turn for turn, _ in ran}) == 20


async def test_a_piece_that_becomes_due_in_the_turn_of_another_gets_a_later_one() -> None:
    pacer, ran = Pacer(), []
    with LoopTurns() as turns:

        async def again(times: int) -> None:
            for _ in range(times):
                await pacer.next_turn()
                ran.append(turns.count)

        async def late() -> None:
            while not ran:  # noqa: ASYNC110 (it asks in the turn of the first piece, and an event would come later)
                await asyncio.sleep(0)
            await again(3)

        await asyncio.gather(again(3), late())
    assert len(set(ran)) == 6


async def test_a_piece_that_is_cancelled_holds_up_none() -> None:
    pacer = Pacer()
    first, cancelled, last = (asyncio.ensure_future(pacer.next_turn()) for _ in range(3))
    await asyncio.sleep(0)
    cancelled.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(first, last)
        await pacer.next_turn()
    assert cancelled.cancelled()
