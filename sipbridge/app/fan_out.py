"""One observer that notifies several, each of the events that it wants.

A handoff has 13 events, and most observers want a few of them. So the handlers of each type are looked up once, and
not by each observer for each event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sipbridge.calls.ports.observer import SelectiveObserver

E = TypeVar("E")

logger = logging.getLogger(__name__)


def fan_out(observers: Sequence[Callable[[E], None]]) -> Callable[[E], None]:
    """Return one observer that notifies several. If one raises, neither the call or chat nor the others notice."""
    handlers_by_type: dict[type, list[Callable[[Any], None]]] = {}

    def observe(event: E) -> None:
        kind = type(event)
        handlers = handlers_by_type.get(kind)
        if handlers is None:
            handlers = handlers_by_type[kind] = _handlers_of(kind, observers)
        for handle in handlers:
            try:
                handle(event)
            except Exception:
                logger.exception("observer failed", extra={"event": "internal_error"})

    return observe


def _handlers_of(kind: type, observers: Sequence[Callable[[Any], None]]) -> list[Callable[[Any], None]]:
    """Return what handles events of a type, in the order of the observers."""
    found = (each.handlers.get(kind) if isinstance(each, SelectiveObserver) else each for each in observers)
    return [handle for handle in found if handle is not None]
