from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator

PROGRAM_TESTS = {Path(__file__).with_name(name) for name in ("system", "interop")}


@pytest.hookimpl(trylast=True)  # pytest-randomly has shuffled the files
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the program, and start the longest files first, so that no worker ends long after the others.

    A file is long if one of its tests has a time limit of its own. Tests of the program wait more than others.
    """
    for item in items:
        if PROGRAM_TESTS.intersection(item.path.parents):
            item.add_marker(pytest.mark.program)
    long_files = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: (item.path not in long_files, item.get_closest_marker("program") is None))


@pytest.fixture(scope="session")
def cxone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("cxone")) as running:
        yield running


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis(running_redis: RedisServer) -> RedisServer:
    """An empty Redis, which tests share one after another: they may pause it, but not kill it."""
    running_redis.run("FLUSHALL")
    return running_redis
