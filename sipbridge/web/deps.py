"""What the HTTP API is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sipbridge.calls.ports import CallDirectory, RecordStore
from sipbridge.config import Config
from sipbridge.web.feed import EventFeed
from sipbridge.web.pop_links import PopLinks


@dataclass(frozen=True, slots=True)
class WebDeps:
    """The parts behind the API. `readiness` tells why no new call can be taken, or None where one can."""

    config: Config
    directory: CallDirectory
    store: RecordStore
    metrics_page: Callable[[], bytes]
    readiness: Callable[[], str | None]
    events: EventFeed
    pop_links: PopLinks
