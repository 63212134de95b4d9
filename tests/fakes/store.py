"""A store in memory."""

from __future__ import annotations

from datetime import datetime

from sipbridge.calls.events import CallEvent
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import CallLog
from sipbridge.calls.ports.store import RecordStore, Undelivered
from tests.fakes.journal import Journal


class FakeStore:
    """Implements `RecordStore`: keeps every version of each record."""

    def __init__(self, journal: Journal) -> None:
        self.written: list[CallRecord] = []
        self.urgent: list[bool] = []
        self.failing: Exception | None = None
        self.waiting_for_webhook: dict[str, Undelivered] = {}
        self.delivered: list[tuple[str, int]] = []
        self.events: CallLog = None  # type: ignore[assignment]  # no test reads it
        self._journal = journal

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        self.urgent.append(urgent)
        await self._journal.reach(_step("put", record))
        self._write(record)

    def put_later(self, record: CallRecord) -> None:
        self._journal.note(_step("put_later", record))
        self._write(record)

    def _write(self, record: CallRecord) -> None:
        if self.failing is not None:
            raise self.failing
        self.written.append(record)

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        return next((record for record in self._of(client, project) if record.call_id == call_id), None)

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        return next((record for record in self._of(client, project) if record.shared_id == shared_id), None)

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        newest = {record.call_id: record for record in reversed(self._of(client, project))}
        return [record for record in newest.values() if before is None or record.started_at < before][:limit]

    @property
    def waiting(self) -> int:
        return 0

    def observe(self, event: CallEvent, /) -> None:
        pass

    async def undelivered(self) -> list[Undelivered]:
        return list(self.waiting_for_webhook.values())

    def mark_delivered(self, client: str, project: str, call_id: str, sequence: int) -> None:  # noqa: ARG002 (as the port)
        self.delivered.append((call_id, sequence))

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        return bool(self._forget([r for r in self._of(client, project) if r.call_id == call_id]))

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        return self._forget([r for r in self._of(client, project) if r.shared_id == shared_id])

    async def close(self) -> None:
        await self._journal.reach("store.close")

    def _forget(self, erased: list[CallRecord]) -> int:
        calls = {record.call_id for record in erased}
        self.written = [record for record in self.written if record.call_id not in calls]
        return len(calls)

    def _of(self, client: str, project: str) -> list[CallRecord]:
        """Return the records of a project, newest first."""
        return [r for r in reversed(self.written) if (r.client, r.project) == (client, project)]


def _step(name: str, record: CallRecord) -> str:
    state = record.handoff.state if record.handoff and not record.ended_at else record.state
    return f"store.{name} {state}"


def _implements(store: FakeStore) -> RecordStore:
    return store
