from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator, simulator

from .site import Site, site


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.program)


@pytest.fixture(scope="session")
def cxone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("cxone")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), cxone) as running:
        yield running


@pytest.fixture
def trunk(shared_site: Site) -> Iterator[Site]:
    """The bridge that most tests share; no test may leave a call in progress."""
    yield shared_site
    shared_site.end_calls()
    shared_site.bridge.wait_for_metric(0, "sipbridge_calls_active")
