"""The customer's typing, shown to the human agent by requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine

from sipbridge.errors import HttpError


def _always() -> bool:
    return True


class Typing:
    """Shows typing by one request at a time, so that none overtakes another, and no state twice.

    `show` raises `HttpError`, and `fault` gets the error. `may_show` is asked before typing is shown; that it has ended
    is shown in any case.
    """

    def __init__(
        self,
        show: Callable[[bool], Awaitable[object]],
        start: Callable[[Coroutine[object, object, None]], object],
        fault: Callable[[str, str], None],
        may_show: Callable[[], bool] = _always,
    ) -> None:
        self._show = show
        self._start = start
        self._fault = fault
        self._may_show = may_show
        self._wanted = False
        self._shown = False
        self._running = False

    def set(self, *, on: bool) -> None:
        """Show this state, if it is not shown already."""
        if on and not self._wanted and not self._may_show():
            return
        self._wanted = on
        if self._wanted != self._shown and not self._running:
            self._running = True
            self._start(self._follow())

    def message_sent(self) -> None:
        """Note that a message has arrived, with which CXone itself ends the typing."""
        self._wanted = False
        if not self._running:
            self._shown = False

    async def _follow(self) -> None:
        """Show the wanted state until it is the shown one."""
        try:
            while self._shown != self._wanted:
                on = self._wanted
                try:
                    await self._show(on)
                except HttpError as error:
                    self._fault("typing_not_shown", f"typing was not shown: {error}")
                self._shown = on
        finally:
            self._running = False
