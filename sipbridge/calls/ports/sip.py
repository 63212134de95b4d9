"""The seam between calls and `sip`: SIP legs, their audio, REFER, and the load of the SIP stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from sipbridge.calls.model import LegEnd
from sipbridge.telephony.credentials import Credentials

Headers = Mapping[str, str]


class ReferResult(StrEnum):
    """The result of a REFER (RFC 3515)."""

    ACCEPTED = "accepted"  # a NOTIFY had a 2xx
    REFUSED = "refused"  # the response to the REFER was 3xx to 6xx
    FAILED = "failed"  # accepted, then a NOTIFY had a failure
    NO_NOTIFY = "no_notify"  # sent, and no final status in time, or the subscription or our side ended without one
    PEER_HUNG_UP = "peer_hung_up"  # sent, and BYE came before the final NOTIFY


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


class SocketUser(Protocol):
    """The owner of an agent's socket whose audio passes it by."""

    def receive(self, received: bytes) -> None:
        """Handle bytes that the agent has sent, all but messages with audio, in order."""

    def end_reading(self) -> None:
        """Read the socket again: it has ended or failed."""

    def send_rest(self, unsent: bytes) -> None:
        """Send bytes that the leg could not send, before anything else."""


class AgentSocket(Protocol):
    """An agent's socket whose audio passes its owner by. It is not read at first."""

    def sift(self, received: bytes) -> bytes:
        """Take bytes that the owner has read. Return all but messages with audio."""

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`."""

    def resume_reading(self) -> None:
        """Read the socket at each tick of the media clock."""

    def sends(self, sends: bool) -> None:  # noqa: FBT001 (the only argument)
        """Send the leg's audio, or leave it to the listener: bytes of the owner that wait must not be overtaken."""

    def reports(self, reports: bool) -> None:  # noqa: FBT001 (the only argument)
        """Call the leg's listener for audio that was sent, too, with no audio: it needs to know what was played."""

    def count(self, messages: int, chunks: int, size: int) -> tuple[int, int, int]:
        """Count messages of the owner, those with audio, and the bytes of that; return the counts of all."""

    def close(self) -> bytes:
        """Use the socket no more. Return the bytes that were read and are next to be handled."""


class AudioStream(Protocol):
    """Mu-law audio at 8 kHz to and from the peer of a leg (ITU-T G.711). Used on the event loop; no method blocks."""

    def write(self, audio: bytes) -> int:
        """Queue audio of any length to be played; return the number of bytes written so far, these included.

        Audio that would make the queue longer than `MAX_QUEUED_SECONDS` is dropped, and not included.
        """

    def position(self) -> tuple[int, int, float]:
        """Return the bytes written so far, those played, and when the audio queued by the last write is over.

        That is a time of the loop's clock; 0.0 if the queue was cleared since.
        """

    def connect(self, descriptor: int | None, stream_sid: str, user: SocketUser) -> AgentSocket | None:
        """Pass audio between the leg and a socket on which an agent speaks Media Streams. None if it cannot be passed.

        The socket is between two frames (RFC 6455), and is open until the returned object is closed. Without its
        descriptor, as over TLS, `user` reads it (`sift`) and writes to it (`send_rest`).
        """

    def clear(self) -> int:
        """Drop the queued audio: silence within 40 ms. Return the number of bytes played or cleared so far: all."""

    def mute(self) -> None:
        """Drop the audio both ways until `unmute`, and leave the leg to other audio. Dropped audio counts as played."""

    async def unmute(self) -> None:
        """Undo `mute`. Raises `LegEnded`."""

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

    async def refer(
        self, uri: str, headers: Headers, timeout_seconds: float, *, then_bye: bool = False
    ) -> ReferOutcome:
        """Transfer the peer blindly (RFC 3515, RFC 5589): send REFER, and follow NOTIFY up to the final one.

        With `then_bye`, a NOTIFY of success also ends the leg, at once. Raises `LegEnded` if the REFER was not sent:
        the leg had ended, or PJSIP refused the request.
        """

    def notify(self, sip_status: int, reason: str) -> None:
        """Send the final NOTIFY of the REFER that was accepted last (RFC 3515, 2.4.5)."""

    async def play(self, clip: str) -> None:
        """Play a loaded clip; return when its last sample was sent. A looped one is played until this is cancelled."""

    async def join(self, other: Leg, withheld_digit: str | None = None) -> None:
        """Connect the audio of two legs both ways, as soon as each has any.

        DTMF digits in RTP go with the audio if its codec permits that, except the peer's `withheld_digit`.
        """

    async def part(self) -> None:
        """Undo `join`. Never raises."""

    async def open_audio(self, listener: AudioListener) -> AudioStream:
        """Connect a stream to the leg's audio, as soon as it has any; `listener` gets the peer's audio every 20 ms."""

    async def wait_for_silence(self) -> None:
        """Return once the peer has been silent for a moment, and so has finished its sentence."""

    async def packets_received(self) -> int | None:
        """Return the number of RTP packets received so far; None while none are due (on hold, RFC 3264, 8.4)."""

    def before_bye(self, note: Callable[[Callable[[], None]], bool]) -> None:
        """Set the function that records the peer's BYE before the response to it.

        `note` runs on the SIP thread and must not wait. If it returns True, the response is sent once its argument is
        called, from any thread, or after 0.1 s.
        """

    def on_digit(self, listener: Callable[[str], None]) -> None:
        """Call this listener once for each DTMF digit of the peer, at its end (RFC 4733, RFC 6086).

        It is not called for digits that a joined leg has got with the audio.
        """

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
