"""The Protocols through which a call reaches the world.

`sip`, `agents`, `cxone`, `store`, `web` and `telemetry` implement or use them; tests put a hand-written fake in the
place of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from sipbridge.calls.endings import AGENT_ENDED, Ending
from sipbridge.calls.events import CallEvent
from sipbridge.calls.model import CallRecord, EndedBy, Identity, LegEnd
from sipbridge.handoffs.record import HandoffRecord, Turn
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.telephony.credentials import Credentials

Headers = Mapping[str, str]


class ReferResult(StrEnum):
    """What is known of a REFER (RFC 3515)."""

    ACCEPTED = "accepted"  # a final 2xx came by NOTIFY
    REFUSED = "refused"  # the REFER itself was answered 3xx to 6xx
    FAILED = "failed"  # accepted, then a final failure came by NOTIFY
    NO_NOTIFY = "no_notify"  # no final status in time, or the subscription ended without one
    PEER_HUNG_UP = "peer_hung_up"  # accepted, and BYE came before the final NOTIFY


@dataclass(frozen=True, slots=True)
class ReferOutcome:
    """The end of a REFER: what is known, and the SIP status that says so (0 where none came)."""

    result: ReferResult
    sip_status: int


@dataclass(frozen=True, slots=True)
class Referral:
    """A REFER that the far end sent (RFC 3515): the Refer-To as it came, and the X- headers beside it.

    `refer_to` is empty if there is none, or more than one.
    """

    refer_to: str
    headers: Headers


class ReferDecision(NamedTuple):
    """The response to a REFER: its SIP status, and why it is refused in words that hold nothing of the request."""

    sip_status: int
    why: str = ""


class ReferHandler(Protocol):
    """Judges the REFERs of a far end, and carries out what it let pass."""

    def decide(self, referral: Referral) -> ReferDecision:
        """Say how to answer, 202 or why not. At once, on the SIP thread: it may look, and change nothing."""

    def rejected(self, why: str) -> None:
        """Take note, on the event loop, that a REFER was rejected before it could be judged."""

    def accepted(self, referral: Referral) -> None:
        """Take note, on the event loop, that 202 was sent; `Leg.notify` is to follow."""


# 160 bytes of mu-law, 20 ms, that the far end said; and how many of all bytes written have left (or were cleared).
AudioListener = Callable[[bytes, int], None]


class AudioStream(Protocol):
    """Mu-law audio, 8 kHz, both ways with the far end of a leg (ITU-T G.711). On the event loop; nothing here waits."""

    def write(self, audio: bytes) -> int:
        """Queue audio, of any length, to be played; returns how many bytes were ever written, this one included.

        What would make the queue longer than `MAX_QUEUED_SECONDS` is dropped and counted, and does not count here.
        """

    def clear(self) -> int:
        """Drop what is queued: silence within 40 ms. Returns how many bytes have left or were cleared: all."""

    async def played_out(self) -> None:
        """Return once what was written and can be heard has left, and no more has come for a moment."""

    def close(self) -> None:
        """Disconnect from the leg. Also when the leg ends; more than once does no harm."""


class Leg(Protocol):
    """One SIP dialog of a call, ours to command.

    Every method may raise `LegGone`. `ended` is done when the dialog is over, however it ended; `answered` when the
    far end of an outgoing leg sent its 2xx (for an incoming leg, when we did), and raises `DialFailed` otherwise.
    `early` is done when the far end of an outgoing leg offers audio before its answer (RFC 3960), `responded` when it
    has responded at all, with 100 at least.
    """

    ended: asyncio.Future[LegEnd]
    answered: asyncio.Future[None]
    early: asyncio.Future[None]
    responded: asyncio.Future[None]

    async def ring(self) -> None:
        """Send 180."""

    async def send_early_media(self) -> None:
        """Send 183 with SDP, so that what is joined to the leg is heard before the answer (RFC 3960)."""

    async def answer(self, headers: Headers) -> float:
        """Send 200 with these X- headers; returns once the ACK is there, so that what follows finds a dialog.

        The result is the seconds from INVITE to 200.
        """

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        """End the leg whatever its state: final answer, CANCEL or BYE. Returns when it has ended; never raises."""

    async def refer(self, uri: str, headers: Headers, timeout_seconds: float) -> ReferOutcome:
        """Blind transfer (RFC 3515, RFC 5589): REFER, then NOTIFY up to the final one."""

    def notify(self, sip_status: int, reason: str) -> None:
        """Tell the far end what became of the REFER that was accepted last, by the final NOTIFY (RFC 3515, 2.4.5)."""

    async def play(self, clip: str) -> None:
        """Play a clip that the media part has loaded under this name; returns when its last sample has left."""

    async def join(self, other: Leg) -> None:
        """Connect the audio of two legs both ways, from when each has any."""

    async def part(self) -> None:
        """Undo `join`. Never raises."""

    async def open_audio(self, listener: AudioListener) -> AudioStream:
        """Connect a stream to the leg's audio, from when it has any; `listener` hears the far end each 20 ms."""

    async def fall_silent(self) -> None:
        """Return once the far end has been quiet for a moment: it has said what it had to say."""

    async def packets_received(self) -> int | None:
        """RTP packets that came so far; None while none are due (on hold, RFC 3264, 8.4)."""

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        """Have the far end's BYE noted before it is answered.

        `note` runs on the SIP thread: it may look, and hands on what is to be done. If it returns true, the BYE is
        answered once the callback that it was given is called, from any thread, or after 0.1 s.
        """

    def on_digit(self, listener: Callable[[str], None]) -> None:
        """Tell this listener of every key that the far end presses (RFC 4733, RFC 6086), once, when it is let go."""

    def send_digit(self, digit: str) -> None:
        """Press a key: RFC 4733 where the far end takes it, else INFO."""


class Backpressure(Protocol):
    """The load of the SIP stack. Queried on the SIP thread, for each new INVITE."""

    def overloaded(self) -> bool:
        """True if calls in progress have to wait, so that no new call may be admitted."""

    def shortage(self) -> str | None:
        """Return what is missing for one more call with all its legs; None if nothing is."""


class Dialler(Protocol):
    """Makes outgoing legs."""

    async def locate(self, uri: str) -> Sequence[str]:
        """Where to call a URI, best first (RFC 3263); never empty. Raises `DialFailed` where that cannot be found."""

    async def dial(
        self,
        uri: str,
        target: str,
        headers: Headers,
        caller: str,
        *,
        sources: Sequence[str] = (),
        credentials: Credentials | None = None,
        refer_handler: ReferHandler | None = None,
    ) -> Leg:
        """Send an INVITE to one of the targets; the leg's `answered` tells the rest.

        Raises `DialFailed` where no INVITE could be sent. What comes in its dialog is taken from `sources` (targets,
        addresses, networks) and from what the far end names as its own. Without a
        `refer_handler` each REFER of the far end gets 403. Cancelled, it leaves no leg behind.
        """


@dataclass(frozen=True, slots=True)
class ConversationEnd:
    """The agent is done: with a handoff, or without."""

    handoff: HandoffRequest | None
    ending: Ending = AGENT_ENDED


class Conversation(Protocol):
    """One agent talking to one caller."""

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Talk until the agent ends the conversation or is lost (`AgentLost`, or any other exception).

        A handoff that the agent asks for while it stays goes to `call.request_handoff`, and what that raises goes
        back to the agent. Cancelled when the caller goes, or once something was decided and the agent has finished
        speaking; it neither speaks nor hears on after that.
        """

    async def finish_speaking(self) -> None:
        """Return once what the agent has said so far has been played to the caller."""

    def press(self, digit: str) -> None:
        """Let the agent know of a key that the caller pressed: one of `0123456789*#ABCD`."""

    async def close(self, handoff: HandoffRecord | None) -> None:
        """Let the agent go, and tell it how the handoff went, if there was one. Never raises."""


class Agent(Protocol):
    """A project's agent."""

    async def connect(self, identity: Identity, leg: Leg) -> Conversation:
        """Reach the agent for a caller whose leg is not answered yet. Raises `AgentUnavailable`.

        One that this takes time sends 180 meanwhile, by `leg.ring()`.
        """


class Speaker(Protocol):
    """Turns text into speech."""

    async def prepare(self, text: str) -> str | None:
        """Synthesise; returns the name of a clip for `Leg.play`, None where that failed or took too long."""

    def close(self) -> None:
        """Forget all clips: no call uses it any more."""


class SignalResult(StrEnum):
    """What is known of a Signal. The `signal` of a handoff record."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # CXone answered that it will not
    UNDELIVERED = "undelivered"  # it certainly did not reach CXone
    UNKNOWN = "unknown"  # sent, and no answer: it is not sent again
    DUPLICATE = "duplicate"  # not sent: the contact was signalled through another live call


# Awaited while a Signal is under way: with `UNKNOWN` right before its first byte goes out, with `UNDELIVERED` once that
# try has certainly not arrived and another is to follow.
SignalNote = Callable[[SignalResult], Awaitable[None]]


class ContactCentre(Protocol):
    """CXone, of one client."""

    async def warm_up(self) -> None:
        """Fetch what a Signal needs, so that the first call need not wait for it. Never raises."""

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script, at most once, within the time budget. Never raises.

        Everything that may take long (token, connection) is there before `note` is awaited with `UNKNOWN`.
        """

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; true where CXone took it. Never raises."""

    async def close(self) -> None:
        """Stop what goes on by itself."""


class RecordStore(Protocol):
    """Where records outlive the process. Methods raise `StoreError`."""

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, over an older one of the same call; durable on return.

        One that is not urgent may wait for others, to be committed with them. A record whose put raised waits in memory
        where it may yet be written, and is found there.
        """

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """The record of a call."""

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """The newest record with that shared id: a contact may call twice."""

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Records of a project, newest first, started before `before`."""

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of a call that is over, for good; false where there is none."""

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all records with that shared id, of calls that are over; return how many there were."""

    async def close(self) -> None:
        """Write what is queued and close."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that an earlier run of the program left open, as far as the journal knows.

    `headers` are those of its `Identity`. `signal` is None if no Signal can have reached CXone, `UNKNOWN` if one was
    sent and its outcome is not known. The record is that of the last entry: its `ended_at` is set if the caller's leg
    had ended, its state is `ended` if only the store lacks it.
    """

    record: CallRecord
    headers: Headers
    signal: SignalResult | None = None


class CallJournal(Protocol):
    """What the next start must know of the calls that are up, should this run end without warning.

    Never raises, and keeps nobody waiting for long: what could not be noted in time is answered with false. What is
    awaited is there, once it returns true, whatever becomes of the process; a Signal that was begun even after a loss
    of power. The rest follows within a moment.
    """

    async def begin(self, record: CallRecord, headers: Headers) -> bool:
        """The caller is about to be answered."""

    async def signalling(self, record: CallRecord) -> bool:
        """The first byte of a Signal is about to go out: from here on only CXone knows whether it arrived."""

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """What is known of the Signal. `UNDELIVERED` takes `signalling` back, and is written at once."""

    def hung_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None] | None = None) -> None:
        """The caller's leg has ended: no Signal has a contact left to reach. From any thread.

        Written at once; `written` is called then, from any thread, also if it could not be written.
        """

    def stored(self, call_id: str) -> None:
        """The call is over, and its record is in the store."""

    def unstored(self, record: CallRecord) -> None:
        """The call is over, and the store did not take its record: the journal keeps it."""

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

    def accepts_key(self, candidate: str) -> bool:
        """Whether this is an API key of its project, by the settings that the call began with."""

    def check_handoff(self, request: HandoffRequest) -> object:
        """Raise what `request_handoff` would, and do nothing. From any thread. What it returns is its own affair."""

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off; returns the record as it will be stored. Raises `HandoffConflict` or `HandoffInvalid`.

        `requested_by` is one word that the record keeps: `api`, `agent`, `dtmf`, …
        """

    def request_hangup(self) -> None:
        """End the conversation with no handoff. Raises `HandoffConflict` where a handoff is under way."""

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Add to the transcript."""

    def note_fault(self, fault: str, message: str) -> None:
        """Have it counted and logged that the agent sent what cannot be used; the call goes on.

        `fault` is a short lower-case word from a small fixed set; `message` quotes nothing secret.
        """

    def note_refused_handoff(self, fault: str, why: str) -> None:
        """Take note that a handoff was refused to the agent, for `why`, which holds nothing of the request.

        It is counted and logged as a fault. An agent that ends the conversation soon after it gave up on a human for
        the caller: they are handed off all the same. A handoff that is refused because one is under way does not count.
        """


class CallDirectory(Protocol):
    """The calls in progress."""

    def find(self, client: str, project: str, call_id: str) -> LiveCall | None:
        """A live call of that project."""

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveCall | None:
        """The newest live call with that shared id."""

    def of_project(self, client: str, project: str) -> Sequence[LiveCall]:
        """All live calls of a project, newest first."""
