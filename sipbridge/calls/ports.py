"""The Protocols through which a call reaches the world.

`sip`, `agents`, `cxone`, `store`, `web` and `telemetry` implement or use them; tests put a hand-written fake in the
place of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sipbridge.calls.events import CallEvent
from sipbridge.calls.handoff_request import HandoffRequest
from sipbridge.calls.model import CallRecord, Identity, LegEnd, Turn

Headers = Mapping[str, str]


class ReferResult(StrEnum):
    """What is known of a REFER (RFC 3515)."""

    ACCEPTED = "accepted"  # a final 2xx came by NOTIFY
    REFUSED = "refused"  # the REFER itself was answered 3xx to 6xx
    FAILED = "failed"  # accepted, then a final failure came by NOTIFY
    NO_NOTIFY = "no_notify"  # accepted, and no final NOTIFY in time
    PEER_HUNG_UP = "peer_hung_up"  # accepted, and BYE came before the final NOTIFY


@dataclass(frozen=True, slots=True)
class ReferOutcome:
    """The end of a REFER: what is known, and the SIP status that says so (0 where none came)."""

    result: ReferResult
    sip_status: int


class Leg(Protocol):
    """One SIP dialog of a call, ours to command.

    Every method may raise `LegGone`. `ended` is done when the dialog is over, however it ended; `answered` when the
    far end of an outgoing leg sent its 2xx (for an incoming leg, when we did), and raises `DialFailed` otherwise.
    """

    ended: asyncio.Future[LegEnd]
    answered: asyncio.Future[None]

    async def ring(self) -> None:
        """Send 180."""

    async def answer(self, headers: Headers) -> float:
        """Send 200 with these X- headers; returns once the ACK is there, so that what follows finds a dialog.

        The result is the seconds from INVITE to 200.
        """

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        """End the leg whatever its state: final answer, CANCEL or BYE. Returns when it has ended; never raises."""

    async def refer(self, uri: str, headers: Headers, timeout_seconds: float) -> ReferOutcome:
        """Blind transfer (RFC 3515, RFC 5589): REFER, then NOTIFY up to the final one."""

    async def play(self, clip: Path) -> None:
        """Play a WAV that the media part has loaded at start-up; returns when its last sample has left."""

    async def join(self, other: Leg) -> None:
        """Connect the audio of two answered legs both ways."""


class Dialler(Protocol):
    """Makes outgoing legs."""

    async def dial(self, uri: str, headers: Headers, caller: str) -> Leg:
        """Send an INVITE; the leg's `answered` tells the rest. Raises `DialFailed` where no INVITE could be sent."""


@dataclass(frozen=True, slots=True)
class ConversationEnd:
    """The agent is done: with a handoff, or without."""

    handoff: HandoffRequest | None
    reason: str = "agent_ended"


class Conversation(Protocol):
    """One agent talking to one caller."""

    async def run(self) -> ConversationEnd:
        """Talk until the agent hands off or ends. Cancelled when the caller goes or somebody else decides."""

    async def finish_speaking(self) -> None:
        """Return once what the agent has said so far has been played to the caller."""

    async def close(self) -> None:
        """Let the agent go. Never raises."""


class Agent(Protocol):
    """A project's agent."""

    async def connect(self, identity: Identity, leg: Leg) -> Conversation:
        """Reach the agent for a caller whose leg is not answered yet. Raises `AgentUnavailable`.

        One that this takes time sends 180 meanwhile, by `leg.ring()`.
        """


class SignalResult(StrEnum):
    """What is known of a Signal. The `signal` of a handoff record."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # CXone answered that it will not
    UNDELIVERED = "undelivered"  # it certainly did not reach CXone
    UNKNOWN = "unknown"  # sent, and no answer: it is not sent again


class ContactCentre(Protocol):
    """CXone, of one client."""

    async def signal(self, contact_id: str, parameters: Mapping[str, str]) -> SignalResult:
        """Signal the contact's script, at most once, within the time budget. Never raises."""

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; true where CXone took it. Never raises."""


class RecordStore(Protocol):
    """Where records outlive the process. Methods raise `StoreError`."""

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, over an older one of the same call; durable on return.

        One that is not urgent may wait for others, to be committed with them.
        """

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """The record of a call."""

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """The newest record with that shared id: a contact may call twice."""

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Records of a project, newest first, started before `before`."""

    async def close(self) -> None:
        """Write what is queued and close."""


class Observer(Protocol):
    """Told of everything that happens to calls. Must be quick and must not raise."""

    def __call__(self, event: CallEvent, /) -> None:
        """Take note of an event."""


class LiveCall(Protocol):
    """A call in progress, as the outside may see and steer it."""

    @property
    def record(self) -> CallRecord:
        """The call as it stands now."""

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off; returns the record as it will be stored. Raises `HandoffConflict` or `HandoffInvalid`.

        `requested_by` is one word that the record keeps: `api`, `agent`, `dtmf`, …
        """

    def request_hangup(self) -> None:
        """End the conversation with no handoff. Raises `HandoffConflict` where a handoff is under way."""

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Add to the transcript."""


class CallDirectory(Protocol):
    """The calls in progress."""

    def find(self, client: str, project: str, call_id: str) -> LiveCall | None:
        """A live call of that project."""

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveCall | None:
        """The newest live call with that shared id."""

    def of_project(self, client: str, project: str) -> Sequence[LiveCall]:
        """All live calls of a project, newest first."""
