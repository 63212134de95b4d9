"""The calls in progress, by call id, shared id and contact id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg

K = TypeVar("K")


class RegisteredCall(LiveCall, Protocol):
    """A call in progress as the registry and the service see it."""

    @property
    def leg(self) -> Leg:
        """The caller's leg."""

    def drain(self) -> None:
        """Hand the caller off; if a handoff is in progress, make sure that the call ends with it."""

    def yield_to_rescuer(self) -> None:
        """End the call, as another node has signalled its contact, or will."""


class CallRegistry:
    """Implements `calls.ports.CallDirectory`."""

    def __init__(self) -> None:
        self._calls: dict[str, RegisteredCall] = {}
        self._shared: dict[tuple[str, str, str], list[RegisteredCall]] = {}
        self._contacts: dict[tuple[str, str], list[RegisteredCall]] = {}
        # The ids of calls whose contact was signalled through another call while both were in progress.
        self._signalled: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: RegisteredCall) -> None:
        """Add a call."""
        self._calls[call.record.call_id] = call
        self._shared.setdefault(_shared_key(call), []).append(call)
        self._contacts.setdefault(_contact_key(call), []).append(call)

    def remove(self, call: RegisteredCall) -> None:
        """Remove a call that has ended."""
        self._calls.pop(call.record.call_id, None)
        self._signalled.discard(call.record.call_id)
        _discard(self._shared, _shared_key(call), call)
        _discard(self._contacts, _contact_key(call), call)

    def others_of_contact(self, call_id: str) -> list[str]:
        """Return the ids of the other calls in progress that have the contact of this one."""
        call = self._calls.get(call_id)
        if call is None:
            return []
        calls = self._contacts.get(_contact_key(call), [])
        return [other.record.call_id for other in calls if other is not call and not other.leg.ended.done()]

    def mark_signalled(self, call_ids: Iterable[str]) -> None:
        """Record that the contact of these calls is being signalled through another call."""
        self._signalled.update(call_ids)

    def unmark_signalled(self, call_ids: Iterable[str]) -> None:
        """Undo `mark_signalled`: that Signal certainly did not arrive."""
        self._signalled.difference_update(call_ids)

    def is_signalled(self, call_id: str) -> bool:
        """True if the contact of this call was signalled through another call while both were in progress."""
        return call_id in self._signalled

    def share_as(self, call: RegisteredCall, shared_id: str) -> None:
        """Give the call another shared id. Must be called before its record has that id."""
        _discard(self._shared, _shared_key(call), call)
        record = call.record
        self._shared.setdefault((record.client, record.project, shared_id), []).append(call)

    def all(self) -> list[RegisteredCall]:
        """Return every call in progress."""
        return list(self._calls.values())

    def find(self, client: str, project: str, call_id: str) -> RegisteredCall | None:
        """Return a call in progress of that project."""
        call = self._calls.get(call_id)
        return call if call and (call.record.client, call.record.project) == (client, project) else None

    def find_shared(self, client: str, project: str, shared_id: str) -> RegisteredCall | None:
        """Return the newest call in progress with that shared id."""
        calls = self._shared.get((client, project, shared_id))
        return calls[-1] if calls else None

    def of_project(self, client: str, project: str) -> list[RegisteredCall]:
        """Return all calls in progress of a project, newest first."""
        mine = [c for c in self._calls.values() if (c.record.client, c.record.project) == (client, project)]
        return mine[::-1]

    def newest(self) -> Iterator[RegisteredCall]:
        """Return all calls in progress, newest first."""
        return reversed(self._calls.values())


def _discard(index: dict[K, list[RegisteredCall]], key: K, call: RegisteredCall) -> None:
    calls = index.get(key, [])
    if call in calls:
        calls.remove(call)
    if not calls:
        index.pop(key, None)


def _contact_key(call: RegisteredCall) -> tuple[str, str]:
    return call.record.client, call.record.contact_id


def _shared_key(call: RegisteredCall) -> tuple[str, str, str]:
    return call.record.client, call.record.project, call.record.shared_id
