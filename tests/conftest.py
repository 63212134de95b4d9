from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator, simulator

PROGRAM_TESTS = {Path(__file__).with_name(name) for name in ("system", "interop")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PROGRAM_TESTS.intersection(item.path.parents):
            item.add_marker(pytest.mark.program)


@pytest.fixture(scope="session")
def cxone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("cxone")) as running:
        yield running
