"""The Protocols between calls and the other packages.

`sip`, `agents`, `cxone`, `store`, `web` and `telemetry` implement or use them. Tests have a hand-written fake of each.
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
    """The result of a REFER (RFC 3515)."""

    ACCEPTED = "accepted"  # a NOTIFY had a 2xx
    REFUSED = "refused"  # the response to the REFER was 3xx to 6xx
    FAILED = "failed"  # accepted, then a NOTIFY had a failure
    NO_NOTIFY = "no_notify"  # no final status in time, or the subscription ended without one
    PEER_HUNG_UP = "peer_hung_up"  # accepted, and BYE came before the final NOTIFY


@dataclass(frozen=True, slots=True)
class ReferOutcome:
    """The end of a REFER: its result, and the SIP status that reported it (0 if there was none)."""

    result: ReferResult
    sip_status: int


@dataclass(frozen=True, slots=True)
class Referral:
    """A REFER from the peer (RFC 3515): its Refer-To as received, and its X- headers.

    `refer_to` is empty if the REFER has none, or more than one.
    """

    refer_to: str
    headers: Headers


class ReferDecision(NamedTuple):
    """The response to a REFER: its SIP status, and why it is refused. The text quotes nothing of the request."""

    sip_status: int
    why: str = ""


class ReferHandler(Protocol):
    """Decides on the REFERs of a peer, and carries out those that it accepts."""

    def decide(self, referral: Referral) -> ReferDecision:
        """Return the response, 202 or a refusal. Runs on the SIP thread; must neither wait nor change anything."""

    def rejected(self, why: str) -> None:
        """Record a REFER that was rejected before `decide`. Runs on the event loop."""

    def accepted(self, referral: Referral) -> None:
        """Carry out a REFER that got 202; `Leg.notify` must follow. Runs on the event loop."""


# Called with 160 bytes of mu-law (20 ms) from the peer, and how many of all written bytes were played or cleared.
AudioListener = Callable[[bytes, int], None]


class AudioStream(Protocol):
    """Mu-law audio at 8 kHz to and from the peer of a leg (ITU-T G.711). Used on the event loop; no method blocks."""

    def write(self, audio: bytes) -> int:
        """Queue audio of any length to be played; return the number of bytes written so far, these included.

        Audio that would make the queue longer than `MAX_QUEUED_SECONDS` is dropped, and not included.
        """

    def clear(self) -> int:
        """Drop the queued audio: silence within 40 ms. Return the number of bytes played or cleared so far: all."""

    async def played_out(self) -> None:
        """Return once all audible audio is played and no more was written for a moment."""

    def close(self) -> None:
        """Disconnect from the leg. The end of the leg does so too. May be called more than once."""


class Leg(Protocol):
    """One SIP dialog of a call.

    Every method may raise `LegEnded`. `ended` is done when the dialog has ended, whichever side ended it. `answered` is
    done when the peer of an outgoing leg has sent its 2xx, or when the ACK of our 2xx has arrived; it raises
    `DialFailed` otherwise. `early` is done when the peer of an outgoing leg offers audio before its answer (RFC 3960),
    `responded` when it has sent any response, such as 100.
    """

    ended: asyncio.Future[LegEnd]
    answered: asyncio.Future[None]
    early: asyncio.Future[None]
    responded: asyncio.Future[None]

    async def ring(self) -> None:
        """Send 180."""

    async def send_early_media(self) -> None:
        """Send 183 with SDP, so that the caller hears the joined leg before the answer (RFC 3960)."""

    async def answer(self, headers: Headers) -> float:
        """Send 200 with these X- headers, wait for the ACK, and return the seconds from INVITE to 200."""

    async def hang_up(self, sip_status: int = 200, headers: Headers | None = None, reason: str = "") -> None:
        """End the leg in any state, by a final response, CANCEL or BYE; return when it has ended. Never raises."""

    async def refer(self, uri: str, headers: Headers, timeout_seconds: float) -> ReferOutcome:
        """Transfer the peer blindly (RFC 3515, RFC 5589): send REFER, and follow NOTIFY up to the final one."""

    def notify(self, sip_status: int, reason: str) -> None:
        """Send the final NOTIFY of the REFER that was accepted last (RFC 3515, 2.4.5)."""

    async def play(self, clip: str) -> None:
        """Play a loaded clip; return when its last sample was sent."""

    async def join(self, other: Leg) -> None:
        """Connect the audio of two legs both ways, as soon as each has any."""

    async def part(self) -> None:
        """Undo `join`. Never raises."""

    async def open_audio(self, listener: AudioListener) -> AudioStream:
        """Connect a stream to the leg's audio, as soon as it has any; `listener` gets the peer's audio every 20 ms."""

    async def fall_silent(self) -> None:
        """Return once the peer has been silent for a moment, and so has finished its sentence."""

    async def packets_received(self) -> int | None:
        """Return the number of RTP packets received so far; None while none are due (on hold, RFC 3264, 8.4)."""

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        """Set the function that records the peer's BYE before the response to it.

        `note` runs on the SIP thread and must not wait. If it returns True, the response is sent once its argument is
        called, from any thread, or after 0.1 s.
        """

    def on_digit(self, listener: Callable[[str], None]) -> None:
        """Call this listener once for each DTMF digit of the peer, at its end (RFC 4733, RFC 6086)."""

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit: by RFC 4733 if the peer supports it, else by INFO."""


class Backpressure(Protocol):
    """The load of the SIP stack. Queried on the SIP thread, for each new INVITE."""

    def overloaded(self) -> bool:
        """True if calls in progress have to wait, so that no new call may be admitted."""

    def shortage(self) -> str | None:
        """Return what is missing for one more call with all its legs; None if nothing is."""


class Dialler(Protocol):
    """A factory of outgoing legs."""

    async def locate(self, uri: str, redirected_by: str = "") -> Sequence[str]:
        """Return the targets of a URI, best first (RFC 3263), at least one. Raises `DialFailed`.

        `redirected_by` is the target whose 3xx named the URI: its lookups then count against that peer.
        """

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
        """Send an INVITE to one of the targets; the leg's `answered` reports its result.

        Raises `DialFailed` if no INVITE could be sent. Messages in the dialog are accepted from `sources` (targets,
        addresses, networks) and from the addresses that the peer gives. Without a `refer_handler` each REFER of the
        peer gets 403. If this is cancelled, no leg remains.
        """


@dataclass(frozen=True, slots=True)
class ConversationEnd:
    """The end of a conversation by its agent, with a handoff or without."""

    handoff: HandoffRequest | None
    ending: Ending = AGENT_ENDED


class Conversation(Protocol):
    """The conversation of one agent with one caller."""

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Talk until the agent ends the conversation or is lost (`AgentLost`, or any other exception).

        An agent that asks for a handoff and stays does so by `call.request_handoff`, and is notified of its errors.
        Cancelled when the caller hangs up, or when the end of the conversation is decided and the agent has finished
        speaking; after that the agent neither speaks nor hears.
        """

    async def finish_speaking(self) -> None:
        """Return once all that the agent has said so far was played to the caller."""

    def press(self, digit: str) -> None:
        """Pass a DTMF digit of the caller to the agent (`telephony.dtmf`)."""

    async def close(self, handoff: HandoffRecord | None) -> None:
        """Release the agent, and notify it of the handoff's outcome if there was one. Never raises."""


class Agent(Protocol):
    """A project's agent."""

    async def connect(self, identity: Identity, leg: Leg) -> Conversation:
        """Connect to the agent for a caller whose leg is not answered yet. Raises `AgentUnavailable`.

        If that takes time, the caller gets 180 meanwhile, by `leg.ring()`.
        """


class Speaker(Protocol):
    """Speech synthesis."""

    async def prepare(self, text: str) -> str | None:
        """Synthesise a text; return the name of a clip for `Leg.play`, None if that failed or took too long."""

    def close(self) -> None:
        """Free all clips: no call uses them any more."""


class SignalResult(StrEnum):
    """The result of a Signal: `signal` of a handoff record."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # CXone responded with a refusal
    UNDELIVERED = "undelivered"  # it certainly did not reach CXone
    UNKNOWN = "unknown"  # sent without a usable response; never sent again
    DUPLICATE = "duplicate"  # not sent: the contact was signalled through another live call


# Awaited while a Signal is being sent: with `UNKNOWN` right before its first byte, with `UNDELIVERED` when that attempt
# certainly did not arrive and another follows.
SignalNote = Callable[[SignalResult], Awaitable[None]]


class ContactCentre(Protocol):
    """The CXone of one client."""

    async def warm_up(self) -> None:
        """Fetch a token and open a connection, so that the first Signal need not wait for them. Never raises."""

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script, at most once, within the time limit. Never raises.

        All that may take long (token, connection) is done before `note` is awaited with `UNKNOWN`.
        """

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; return True if CXone accepted it. Never raises."""

    async def close(self) -> None:
        """Stop the background tasks."""


class RecordStore(Protocol):
    """The records, which outlive the process. Methods raise `StoreError`."""

    @property
    def waiting(self) -> int:
        """The number of records that are not written yet."""

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, and replace an older one of the same call; durable on return.

        A record that is not urgent may wait for others and be committed with them. If writing fails, the record stays
        in memory, where it is found, and is written once the store works again.
        """

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id: a contact may call twice."""

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project that started before `before`, newest first."""

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of an ended call for good; return False if there is none."""

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all records of ended calls with that shared id; return their number."""

    async def close(self) -> None:
        """Write what is queued and close."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that an earlier run of the program left open, according to the journal.

    `headers` are those of its `Identity`. `signal` is None if no Signal can have reached CXone, `UNKNOWN` if one was
    sent and its result is not known. The record is that of the last entry: its `ended_at` is set if the caller's leg
    had ended, and its state is `ended` if the call has ended and only its record is missing in the store.
    `bye_unknown` is true if our BYE was about to end the leg, and may not have been sent.
    """

    record: CallRecord
    headers: Headers
    signal: SignalResult | None = None
    bye_unknown: bool = False


class CallJournal(Protocol):
    """The calls in progress, as the next start must know them after a crash.

    No method raises. An awaited entry survives the process once the method returns True, and `signalling` also a loss
    of power; False means that it could not be written within a second. The other entries are written within a moment.
    """

    async def begin(self, record: CallRecord, headers: Headers) -> bool:
        """The caller is about to be answered."""

    async def signalling(self, record: CallRecord) -> bool:
        """The first byte of a Signal is about to go out: from now on only CXone knows if it arrives."""

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """The result of the Signal so far. `UNDELIVERED` takes `signalling` back, and is written at once."""

    def hanging_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None]) -> None:
        """Our BYE is about to be sent: from now on only CXone knows if it arrived, and no Signal may follow.

        Written at once; then `written` is called, on any thread, also if writing failed.
        """

    def hung_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None] | None = None) -> None:
        """The caller's leg has ended, or their BYE has come: no Signal may follow. May be called from any thread.

        Written and reported as `hanging_up` is.
        """

    def stored(self, call_id: str) -> None:
        """The call has ended, and its record is in the store."""

    def unstored(self, record: CallRecord) -> None:
        """The call has ended, but its record could not be stored: the journal keeps it."""

    async def close(self) -> None:
        """Write what is queued and close."""


class Observer(Protocol):
    """A listener for all events of calls. Must be quick and must not raise."""

    def __call__(self, event: CallEvent, /) -> None:
        """Handle an event."""


class LiveCall(Protocol):
    """A call in progress, as agents and the API see and control it."""

    @property
    def record(self) -> CallRecord:
        """The present state of the call."""

    def accepts_key(self, candidate: str) -> bool:
        """True if this is an API key of the project, by the configuration version of the call."""

    def check_handoff(self, request: HandoffRequest) -> object:
        """Raise the same errors as `request_handoff`, but change nothing. May be called from any thread."""

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off; return the record as it will be stored. Raises `HandoffConflict` or `HandoffInvalid`.

        `requested_by` is kept in the record: `api`, `agent`, `dtmf` or `bridge`.
        """

    def request_hangup(self) -> None:
        """End the conversation without a handoff. Raises `HandoffConflict` if its end is decided already."""

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Append to the transcript. Raises `HandoffInvalid` if it would be too long."""

    def note_fault(self, fault: str, message: str) -> None:
        """Count and log a message of the agent that is not valid; the call goes on.

        `fault` is a short lower-case word from a small fixed set; `message` quotes nothing secret.
        """

    def note_refused_handoff(self, fault: str, why: str) -> None:
        """Count and log a handoff that was refused to the agent. `why` quotes nothing of the request.

        If the agent ends the conversation soon after, its caller is handed off to the default destination. Not for a
        handoff that is refused because another request came first.
        """


class CallDirectory(Protocol):
    """An index of the calls in progress."""

    def find(self, client: str, project: str, call_id: str) -> LiveCall | None:
        """Return a call in progress of that project."""

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveCall | None:
        """Return the newest call in progress with that shared id."""

    def of_project(self, client: str, project: str) -> Sequence[LiveCall]:
        """Return all calls in progress of a project, newest first."""
