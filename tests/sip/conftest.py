from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.pjsip import FakePjsip
from tests.sip.dialog_world import DialogWorld


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
