"""The steps of a chat: each is stored, then takes effect, in their order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sipbridge.chats.happenings import StepFailed
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import ChatChange, ChatEntry, ChatStore
from sipbridge.errors import NotStorable

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0  # between two tries to write what must not be lost


@dataclass(slots=True, eq=False)
class _Step:
    """A change, its effect, and the last try to write it."""

    change: ChatChange
    effect: Callable[[], None]
    writing: asyncio.Future[None]


class Steps:
    """The steps that are being stored. Belongs to one event loop; one coroutine adds them and waits for them.

    The next step need not wait for the one before: the store commits both together. If one cannot be written, the store
    refuses those after it, and all are written again, in their order, until the store works: nothing that a human agent
    wrote may be lost. `report` notifies the coroutine of a failure that it does not wait for.

    A change that can never be written does not become a step: it is given up at once, and holds nothing up.
    """

    def __init__(self, record: ChatRecord, store: ChatStore, report: Callable[[StepFailed], None]) -> None:
        self._uid = record.uid
        self._ids = {"chat_id": record.chat_id, "client": record.client, "project": record.project}
        self._store = store
        self._report = report
        self._count = 0
        self._pending: deque[_Step] = deque()
        self._failed = False
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, entries: Sequence[ChatEntry], record: ChatRecord | None, effect: Callable[[], None]) -> bool:
        """Write entries and a change of the record, all or nothing; then call `effect`. Its failure stops no chat.

        Return False if they can never be written, which is logged.
        """
        change = ChatChange(self._uid, record, entries, self._count + 1)
        # Also while the store fails: it refuses what follows a step that failed, and says what it can never write.
        writing = self._store.write(change)
        if (error := _lasting_error(writing)) is not None:
            logger.error("a step of a chat given up: %s", error, extra={"event": "chat_step_lost", **self._ids})
            return False
        step = _Step(change, effect, writing)
        self._follow(step)
        self._count += 1
        self._pending.append(step)
        return True

    async def settled(self) -> None:
        """Wait until all steps have taken effect, as long as the store fails."""
        while self._pending:
            if self._failed:
                await asyncio.sleep(_RETRY_SECONDS)
                self._failed = False
                for step in self._pending:
                    step.writing = self._store.write(step.change)
                    self._follow(step)
            await self._change()

    async def _change(self) -> None:
        """Wait until all steps have taken effect, or one has failed."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _follow(self, step: _Step) -> None:
        step.writing.add_done_callback(partial(self._written, step))

    def _written(self, step: _Step, writing: asyncio.Future[None]) -> None:
        if writing.cancelled():
            return
        error = writing.exception()  # also of one that does not matter: asyncio would log it
        if writing is not step.writing:
            return  # it was refused after another one, and is being written again
        if error is None:
            self._pending.popleft()
            try:
                step.effect()
            except Exception:
                logger.exception("an effect of a chat's step failed", extra={"event": "internal_error"})
        elif not self._failed:
            self._failed = True
            if self._waiter is None:
                self._report(StepFailed())
        if self._waiter is not None and not self._waiter.done() and (self._failed or not self._pending):
            self._waiter.set_result(None)


def _lasting_error(writing: asyncio.Future[None]) -> NotStorable | None:
    """Return why a change can never be written; None if it may be."""
    if not writing.done() or writing.cancelled():
        return None
    error = writing.exception()
    return error if isinstance(error, NotStorable) else None
