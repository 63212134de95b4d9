"""The load of a SIP stack that does nothing."""

from __future__ import annotations

from sipbridge.calls.ports.sip import Backpressure


class FakeBackpressure:
    """Implements `Backpressure`: no load unless a test sets one."""

    def __init__(self, *, is_overloaded: bool = False, missing: str | None = None) -> None:
        self.is_overloaded = is_overloaded
        self.missing = missing

    def overloaded(self) -> bool:
        return self.is_overloaded

    def shortage(self) -> str | None:
        return self.missing


def _implements(load: FakeBackpressure) -> Backpressure:
    return load
