"""The shared context of calls: all parts of one configuration version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.agents import Agent
from sipbridge.calls.ports.claims import SignalClaims
from sipbridge.calls.ports.cxone import ContactCentre
from sipbridge.calls.ports.observer import Observer
from sipbridge.calls.ports.sip import Dialler
from sipbridge.calls.ports.speech import Speaker
from sipbridge.calls.ports.store import CallJournal, RecordStore
from sipbridge.calls.registry import CallRegistry
from sipbridge.config import Config


class CallSlots(Protocol):
    """The slots of calls in progress, each with the configuration version that the call was admitted under."""

    def use(self, version: CallContext) -> None:
        """Admit under this version from the next INVITE on."""

    def versions_in_use(self) -> set[CallContext]:
        """Return the versions of the calls in progress."""

    def release(self, call_id: str) -> None:
        """Free the slot of a call."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CallContext:
    """One configuration version. `config` to `centres` and `hold_clips` are its own; all versions share the rest.

    `agents`, `speakers` and `hold_clips` are by client and project, `centres` by client. `hold_clips` are the looped
    clips that callers hear on hold. `claims` is None if no other node can have the calls.
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
    admission: CallSlots
    pop_url: Callable[[CallRecord], str]
    claims: SignalClaims | None = None
    hold_clips: Mapping[tuple[str, str], str] = field(default_factory=dict)
