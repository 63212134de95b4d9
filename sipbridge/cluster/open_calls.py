"""The open calls of this node in Redis: what another node needs to know of each if this one dies.

They are the entries of the local journal. Redis has the entry of a call before the call is answered, if it responds.
All others follow within a moment, as no caller waits for them: if the node dies in between, a rescuer may signal a
contact that has just ended. Those of a Signal are written with the next one, since its claim says the same, and at once
if it has no claim, as Redis did not respond.

Invariant: Redis gets the entries of a call as a whole and in order, so it never has a call that was removed, nor an
older state after a newer one. What it missed while it was away, or lost, it gets when it responds again; if a failover
or a restart has brought an older state back, all calls are written again, and the others removed. So are the calls that
it never had, if the node was taken over: they go on with the next epoch. A network that was cut may deliver a write
late, of which the node has long heard nothing: writes have numbers, and the script refuses one that comes after a later
one, or after the calls were taken over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from redis.exceptions import RedisError

from sipbridge.aio import wait_any
from sipbridge.cluster.lease import REDIS_SECONDS, Commands, Lease, LeaseState
from sipbridge.errors import NodeTakenOver, StoreError
from sipbridge.store.journal.entries import Entry
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import WRITE_OPEN_CALLS, Command

logger = logging.getLogger(__name__)

BEGIN_SECONDS = 0.3  # a caller who is about to be answered waits no longer for Redis
GATHER_SECONDS = 0.05  # for entries that nothing waits for
RETRY_SECONDS = 1.0
KEPT_MS = 7 * 24 * 3600 * 1000  # after the last entry, if no node is left to take them over

_Written = asyncio.Future[str]  # the response of the script; none if it was not written


class OpenCalls:
    """The open calls, and the task that writes them."""

    def __init__(self, redis: Commands, lease: Lease) -> None:
        self.unwritten = 0  # calls that were answered before Redis had them
        self._redis = redis
        self._lease = lease
        self._lines: dict[str, bytes] = {}
        self._changed: dict[str, _Written | None] = {}
        self._unknown: set[str] = set()  # those that Redis never had, as far as this node knows
        self._forgotten: set[str] = set()  # those that still end here
        self._replaces = False  # the next write removes what this node does not have
        self._failing = False
        self._writes = 0
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="open-calls-writer")

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._lines

    @property
    def forgotten(self) -> int:
        """The number of calls that another node has, and that have not ended here yet."""
        return len(self._forgotten)

    def begin(self, entry: Entry) -> _Written:
        """Add a call that is about to be answered; `confirm` waits until Redis has it."""
        written: _Written = asyncio.get_running_loop().create_future()
        if self._lease.state is LeaseState.RESCUED:
            written.set_result("rescued")
            return written
        self._lines[entry.call_id] = entry.line
        self._unknown.add(entry.call_id)
        self._changed[entry.call_id] = written
        self._wake.set()
        return written

    async def confirm(self, written: _Written) -> bool:
        """Return True once Redis has the call, and False if it does not respond in time.

        Raises `NodeTakenOver` if another node has the calls of this one: it does not know this call.
        """
        if not self._failing:
            await wait_any(written, timeout=BEGIN_SECONDS)
        state = written.result() if written.done() else ""
        if state == "rescued":
            raise NodeTakenOver("another node has taken over the calls of this one")
        if state == "written":
            return True
        written.cancel()  # the call is answered, and goes on
        self.unwritten += 1
        return False

    def add(self, entry: Entry, *, urgent: bool) -> None:
        """Add an entry of an open call."""
        is_forgotten = entry.call_id in self._forgotten
        if entry.what == "ended":  # the last one
            self._forgotten.discard(entry.call_id)
        if entry.call_id in self._lines or (entry.what == "ended" and not is_forgotten):
            known = b"" if entry.what == "ended" else self._lines[entry.call_id]
            self._lines[entry.call_id] = known + entry.line
            self._change(entry.call_id, urgent=urgent)

    def keep(self, entry: Entry) -> None:
        """Add an entry of an open call that Redis gets with the next one, as it knows the same by a claim."""
        if entry.call_id in self._lines:
            self._lines[entry.call_id] += entry.line

    def withhold(self, entry: Entry) -> _Written | None:
        """Add an entry that `settle` waits for; None if this is not an open call."""
        if entry.call_id not in self._lines:
            return None
        self._lines[entry.call_id] += entry.line
        written = self._changed.get(entry.call_id)
        if written is None or written.done():
            written = asyncio.get_running_loop().create_future()
        self._changed[entry.call_id] = written
        self._wake.set()
        return written

    async def settle(self, written: Sequence[_Written | None]) -> None:
        """Wait until Redis has entries, or does not respond in time."""
        waiting = [each for each in written if each is not None]
        if waiting and not self._failing:
            await asyncio.wait(waiting, timeout=BEGIN_SECONDS)

    def write(self, call_id: str) -> None:
        """Write an open call again, with the entries that were only kept so far."""
        if call_id in self._lines:
            self._change(call_id, urgent=True)

    def remove(self, call_id: str) -> None:
        """Remove a call that is over and stored."""
        self._forgotten.discard(call_id)
        self._unknown.discard(call_id)
        if self._lines.pop(call_id, None) is not None:
            self._change(call_id, urgent=False)

    def write_all(self) -> None:
        """Write every call again, and remove all others: Redis has lost them, or has an older state."""
        for call_id in self._lines:
            self._changed.setdefault(call_id, None)
        self._replaces = True
        self._wake.set()

    def forget(self) -> None:
        """Write nothing more of the calls that Redis has had: another node has them.

        Those that were answered before it had them stay, and are written with the next epoch.
        """
        self._forget(self._lines.keys() - (self._unknown - _waiting(self._changed)))
        _resolve(self._changed.values(), "rescued")
        self._changed.clear()

    def _forget(self, call_ids: AbstractSet[str]) -> None:
        self._forgotten |= call_ids
        for call_id in call_ids:
            self._lines.pop(call_id, None)

    async def close(self) -> None:
        """Write what is left, if Redis responds, and end."""
        self._task.cancel()
        await wait_any(self._task)
        await self._write()

    def _change(self, call_id: str, *, urgent: bool) -> None:
        is_first = not self._changed
        self._changed.setdefault(call_id, None)
        if urgent:
            self._wake.set()
        elif is_first:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._wake.set)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._write():
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _write(self) -> bool:
        """Write the changed calls; return False if Redis does not respond. Then they are written later.

        Those of an epoch that was taken over are not written; its lease finds out.
        """
        changed, self._changed = self._changed, {}
        replaces, self._replaces = self._replaces, False
        if not changed and not replaces:
            return True
        state = ""
        try:
            command = self._command(changed, replaces=replaces)
            (result,) = await self._redis.run([command], seconds=REDIS_SECONDS)
            if isinstance(result, RedisError):
                self._note_failure(result)
            else:
                state = result
                if state == "written":
                    self._unknown.difference_update(changed)
                elif state == "rescued":
                    self._forget(_waiting(changed))  # they are not answered
        except StoreError as error:
            self._note_failure(error)
        finally:
            if not state:  # also if the task is cancelled
                self._changed = dict.fromkeys(changed) | self._changed
                self._replaces |= replaces
            _resolve(changed.values(), state)
        self._failing &= not state
        return bool(state)

    def _command(self, changed: Iterable[str], *, replaces: bool) -> Command:
        self._writes += 1
        epoch = self._lease.epoch
        open_calls = [call_id for call_id in changed if call_id in self._lines]
        written = [part for call_id in open_calls for part in (call_id, self._text(call_id))]
        removed = [call_id for call_id in changed if call_id not in self._lines]
        return WRITE_OPEN_CALLS.command(
            (keys.OPEN_CALLS + epoch, keys.OPEN_CALLS_WRITE + epoch, keys.RESCUE + epoch),
            self._writes,
            KEPT_MS,
            "replace" if replaces else "",
            len(open_calls),
            *written,
            *removed,
        )

    def _text(self, call_id: str) -> str:
        return self._lines[call_id].decode()

    def _note_failure(self, error: object) -> None:
        if not self._failing:
            self._failing = True
            extra = {"event": "open_calls_failing"}
            logger.warning("open calls not in Redis: only this node could save their callers: %s", error, extra=extra)


def _waiting(changed: Mapping[str, _Written | None]) -> set[str]:
    return {call_id for call_id, written in changed.items() if written is not None and not written.done()}


def _resolve(waiting: Iterable[_Written | None], state: str) -> None:
    for written in waiting:
        if written is not None and not written.done():
            written.set_result(state)
