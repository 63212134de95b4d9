from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.pjsip import FakePjsip


@pytest.fixture
def pjsip() -> Iterator[FakePjsip]:
    fake = FakePjsip()
    yield fake
    fake.close()
