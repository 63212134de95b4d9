"""What calls share: all that one configuration version is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports import Agent, CallJournal, ContactCentre, Dialler, Observer, RecordStore, Speaker
from sipbridge.config import Config

if TYPE_CHECKING:
    from sipbridge.calls.admission import Admission
    from sipbridge.calls.registry import CallRegistry


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CallContext:
    """One configuration version: the first four are its own, the rest is the same for all versions.

    `agents` and `speakers` are by client and project, `centres` by client.
    """

    config: Config
    agents: Mapping[tuple[str, str], Agent]
    speakers: Mapping[tuple[str, str], Speaker]
    centres: Mapping[str, ContactCentre]
    store: RecordStore
    journal: CallJournal
    dialler: Dialler
    observe: Observer
    registry: CallRegistry
    admission: Admission
    pop_url: Callable[[CallRecord], str]
