"""The announcements of calls without a record: written once, again after a failure, and not after a put."""

from __future__ import annotations

from collections.abc import Sequence

from sipbridge.calls.events import CallStarted
from sipbridge.calls.model import CallRecord
from sipbridge.errors import StoreError
from sipbridge.store.calls.announcer import Announcer
from tests.store.records import make_record


class Log:
    """Notes the calls that are written; the first writes may fail."""

    def __init__(self, failures: int = 0) -> None:
        self.written: list[str] = []
        self._failures = failures

    async def write(self, records: Sequence[CallRecord]) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreError("away")
        self.written += [record.call_id for record in records]


async def test_what_could_not_be_written_is_written_again() -> None:
    log = Log(failures=1)
    announcer = Announcer(log.write)
    announcer(CallStarted(make_record("call-1")))
    await announcer.flush()
    announcer(CallStarted(make_record("call-2")))
    await announcer.flush()
    await announcer.close()
    assert log.written == ["call-1", "call-2"]


async def test_nothing_is_written_of_a_call_that_was_put() -> None:
    log = Log()
    announcer = Announcer(log.write)
    announcer(CallStarted(make_record("call-1")))
    announcer(CallStarted(make_record("call-2")))
    announcer.on_put("call-1")
    await announcer.close()
    assert (log.written, list(announcer.begun)) == (["call-2"], ["call-2"])
