"""The steps of the fakes in their order. A test may hold a step up, or run an action in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Journal:
    """The steps so far, with names like `caller.answer` or `centre.signal`."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._actions: dict[str, Callable[[], object]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()

    def when(self, step: str, action: Callable[[], object]) -> None:
        """Run an action as soon as the step is reached."""
        self._actions[step] = action

    def hold(self, step: str) -> asyncio.Event:
        """Keep the step from ending until the event is set."""
        return self._held.setdefault(step, asyncio.Event())

    async def reach(self, step: str) -> None:
        """Take a step."""
        self.note(step)
        if step in self._held:
            await self._held[step].wait()

    def note(self, step: str) -> None:
        """Take a step that a test cannot hold up."""
        self.steps.append(step)
        self._changed.set()
        action = self._actions.pop(step, None)
        if action is not None:
            action()

    async def until(self, step: str) -> None:
        """Wait until the step was taken."""
        while step not in self.steps:
            self._changed.clear()
            await self._changed.wait()

    def only(self, *prefixes: str) -> list[str]:
        """Return the steps that begin with one of these."""
        return [step for step in self.steps if step.startswith(prefixes)]
