"""The wait of a start for a store that does not respond yet."""

from __future__ import annotations

import time

import pytest

from sipbridge.errors import StoreError, StoreSilent
from sipbridge.store import start_wait
from sipbridge.store.start_wait import StartWait


class Store:
    """A store that is silent for a while. Each try takes 0.1 s of a monotonic clock."""

    def __init__(self, silent: int, then: Exception | None = None) -> None:
        self.silent = silent
        self.then = then
        self.tries = 0

    async def ask(self) -> str:
        self.tries += 1
        if self.tries <= self.silent:
            raise StoreSilent("Redis has not responded within 5 s")
        if self.then is not None:
            raise self.then
        return "response"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_wait, "PAUSE_SECONDS", 0.01)


async def test_a_start_waits_for_a_silent_store_and_logs_that_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    store = Store(silent=3)
    assert await StartWait(30).until_it_responds(store.ask) == "response"
    waits, goes_on = caplog.messages
    assert waits == "Redis has not responded within 5 s; the start waits 30 s at most"
    assert goes_on.startswith("the store responds; the start goes on after ")


async def test_a_store_that_responds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert await StartWait(30).until_it_responds(Store(silent=0).ask) == "response"
    assert caplog.messages == []


@pytest.mark.parametrize("silent", [0, 2])
async def test_any_other_error_ends_the_wait(silent: int) -> None:
    store = Store(silent, StoreError("refuses the password"))
    with pytest.raises(StoreError, match="password"):
        await StartWait(30).until_it_responds(store.ask)
    assert store.tries == silent + 1


async def test_the_wait_has_a_limit_for_the_whole_start() -> None:
    wait, began_at = StartWait(0.2), time.monotonic()
    for store in (Store(silent=3), Store(silent=10_000)):
        if store.silent == 3:
            await wait.until_it_responds(store.ask)
        else:
            with pytest.raises(StoreSilent):
                await wait.until_it_responds(store.ask)
    assert time.monotonic() - began_at >= 0.2
    late = Store(silent=1)
    with pytest.raises(StoreSilent):
        await wait.until_it_responds(late.ask)
    assert late.tries == 1, "nothing of it is left"


async def test_without_a_time_to_wait_the_first_silence_is_an_error() -> None:
    store = Store(silent=1)
    with pytest.raises(StoreSilent):
        await StartWait().until_it_responds(store.ask)
    assert store.tries == 1


async def test_a_stop_of_the_program_ends_the_wait() -> None:
    store = Store(silent=10_000)
    with pytest.raises(StoreSilent):
        await StartWait(60, lambda: store.tries >= 3).until_it_responds(store.ask)
    assert store.tries == 3
