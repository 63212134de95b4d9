"""What the HTTP API is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sipbridge.calls.ports import CallDirectory, RecordStore
from sipbridge.config import Config
from sipbridge.web.screen_pop.links import PopLinks
from sipbridge.web.server.event_feed import EventFeed


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload that succeeded leaves to do: keys whose change waits for a restart, and the file's warnings."""

    restart_required: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class AdminControls(Protocol):
    """What whoever runs the bridge may have it do."""

    @property
    def since(self) -> datetime:
        """When the bridge started."""

    @property
    def draining(self) -> bool:
        """Whether it takes no more calls."""

    @property
    def calls(self) -> int:
        """How many are in progress."""

    def drain(self) -> None:
        """Take no more calls, let those in progress end, then stop. Once or more often."""

    async def reload(self) -> ReloadReport:
        """Read the configuration again. Raises `ConfigError`; then nothing has changed."""


@dataclass(frozen=True, slots=True)
class WebDeps:
    """The parts behind the API.

    `count_request` is told the operation and the status of each answer, `none` where no operation was asked for.
    `config` tells the configuration as it is now, `readiness` why no new call can be taken, or None where one can.
    """

    config: Callable[[], Config]
    directory: CallDirectory
    store: RecordStore
    metrics_page: Callable[[], bytes]
    readiness: Callable[[], str | None]
    events: EventFeed
    pop_links: PopLinks
    admin_controls: AdminControls
    count_request: Callable[[str, int], None]
