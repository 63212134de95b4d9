from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fakes.pjsip import FakePjsip
from tests.sip.dialog_world import DialogWorld
from tests.sip.leg_stack import Stack


@pytest.fixture
def pjsip() -> Iterator[FakePjsip]:
    fake = FakePjsip()
    yield fake
    fake.close()


@pytest.fixture
def dialog_world(pjsip: FakePjsip) -> Iterator[DialogWorld]:
    world = DialogWorld(pjsip)
    yield world
    world.thread.run_callbacks()


@pytest.fixture
async def stack(pjsip: FakePjsip) -> AsyncIterator[Stack]:
    stack = Stack(pjsip)
    await stack.thread.start(lambda: None, lambda: None)
    yield stack
    await stack.thread.stop()
