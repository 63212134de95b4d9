"""The calls in progress, by their own id and by the ids that CXone knows them by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipbridge.calls.call import Call


class CallRegistry:
    """Implements `calls.ports.CallDirectory`."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._shared: dict[tuple[str, str, str], list[Call]] = {}
        self._contacts: dict[tuple[str, str], list[Call]] = {}
        # Ids of calls whose contact was signalled through another call while both were up.
        self._signalled: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Make a call known."""
        self._calls[call.record.call_id] = call
        self._shared.setdefault(_shared_key(call), []).append(call)
        self._contacts.setdefault(_contact_key(call), []).append(call)

    def remove(self, call: Call) -> None:
        """Forget a call that is over."""
        self._calls.pop(call.record.call_id, None)
        self._forget_shared(call)
        self._signalled.discard(call.record.call_id)
        calls = self._contacts.get(_contact_key(call), [])
        if call in calls:
            calls.remove(call)
        if not calls:
            self._contacts.pop(_contact_key(call), None)

    def others_of_contact(self, call_id: str) -> list[str]:
        """Return the ids of the other calls that are up with the contact of this one."""
        call = self._calls.get(call_id)
        if call is None:
            return []
        calls = self._contacts.get(_contact_key(call), [])
        return [other.record.call_id for other in calls if other is not call and not other.leg.ended.done()]

    def mark_signalled(self, call_ids: Iterable[str]) -> None:
        """Take note that the contact of these calls is being signalled through another."""
        self._signalled.update(call_ids)

    def unmark_signalled(self, call_ids: Iterable[str]) -> None:
        """Take that back: that Signal certainly did not arrive."""
        self._signalled.difference_update(call_ids)

    def is_signalled(self, call_id: str) -> bool:
        """True if the contact of this call was signalled through another call while both were up."""
        return call_id in self._signalled

    def share_as(self, call: Call, shared_id: str) -> None:
        """Find the call by another shared id from now on; to be called before its record carries it."""
        self._forget_shared(call)
        record = call.record
        self._shared.setdefault((record.client, record.project, shared_id), []).append(call)

    def all(self) -> list[Call]:
        """Every call."""
        return list(self._calls.values())

    def find(self, client: str, project: str, call_id: str) -> Call | None:
        """A live call of that project."""
        call = self._calls.get(call_id)
        return call if call and (call.record.client, call.record.project) == (client, project) else None

    def find_shared(self, client: str, project: str, shared_id: str) -> Call | None:
        """The newest live call with that shared id."""
        calls = self._shared.get((client, project, shared_id))
        return calls[-1] if calls else None

    def of_project(self, client: str, project: str) -> list[Call]:
        """All live calls of a project, newest first."""
        mine = [c for c in self._calls.values() if (c.record.client, c.record.project) == (client, project)]
        return mine[::-1]

    def _forget_shared(self, call: Call) -> None:
        calls = self._shared.get(_shared_key(call), [])
        if call in calls:
            calls.remove(call)
        if not calls:
            self._shared.pop(_shared_key(call), None)


def _contact_key(call: Call) -> tuple[str, str]:
    return call.record.client, call.record.contact_id


def _shared_key(call: Call) -> tuple[str, str, str]:
    return call.record.client, call.record.project, call.record.shared_id
