from __future__ import annotations

import asyncio
import logging

import pytest

from sipbridge.log_sampling import BurstLimit


async def test_lines_over_the_limit_are_counted_per_kind(caplog: pytest.LogCaptureFixture) -> None:
    limit = BurstLimit(logging.getLogger("test"), count=2, window_seconds=0.02)
    assert [limit.allows("one") for _ in range(5)] == [True, True, False, False, False]
    assert limit.allows("other")
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(0.02, over.set_result, None)  # behind the end of the window
    await over
    assert caplog.records[0].getMessage() == "more lines like these: one"
    assert getattr(caplog.records[0], "suppressed", 0) == 3
    assert limit.allows("one")


async def test_a_source_that_floods_hides_no_other_source_and_many_sources_share_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = BurstLimit(logging.getLogger("test"), count=4, window_seconds=0.02, count_per_source=2)
    assert [limit.allows("one", "192.0.2.1") for _ in range(5)] == [True, True, False, False, False]
    assert [limit.allows("one", f"192.0.2.{number}") for number in range(2, 6)] == [True, True, False, False]
    assert limit.allows("other", "192.0.2.1")
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(0.02, over.set_result, None)
    await over
    [summary] = caplog.records
    assert getattr(summary, "suppressed", 0) == 5
    assert limit.allows("one", "192.0.2.1")


async def test_each_owner_has_a_limit_of_its_own_and_the_summary_names_it(caplog: pytest.LogCaptureFixture) -> None:
    limit = BurstLimit(logging.getLogger("test"), count=1, window_seconds=0.02)
    assert [limit.allows("one", client="acme") for _ in range(3)] == [True, False, False]
    assert limit.allows("one", client="other")
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(0.02, over.set_result, None)
    await over
    [summary] = caplog.records
    assert (getattr(summary, "client", ""), getattr(summary, "suppressed", 0)) == ("acme", 2)
