"""The caller of `make demo`: listens to the greeting, speaks, listens to the echo, sends a DTMF digit."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate, islice

from sipbridge.simulators.echo_agent import FAREWELL, GREETING
from sipbridge.trial_call.timeline import CALLER, Step
from tests.harness.media.g711 import FRAME_BYTES, RATE
from tests.harness.media.quality import measure_stream
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.media.stamp import Stamps
from tests.harness.programs.program import Program
from tests.harness.waiting import wait_for

DIGIT = "0"
SPOKEN_FRAMES = 50  # one second
ENOUGH_FRAMES = 40  # jitter buffers may drop some on a busy machine
OVERDUE_NS = 1_000_000_000
WAIT_SECONDS = 10.0


class Caller:
    """One caller with the audio of a call; its actions and observations go to `steps`."""

    def __init__(self, audio: RtpStream, agent: Program, steps: list[Step]) -> None:
        self._steps = steps
        self._audio = audio
        self._agent = agent

    def talk(self) -> None:
        """Hold the conversation. Raises `TimeoutError` if audio is missing, `ProgramError` if the agent ended."""
        self._listen("greeting", GREETING)
        # Its mark has come back to the agent, and the echo begins.
        self._agent.line_with("greeting played", WAIT_SECONDS)
        self._speak()
        self._note(time.time_ns(), "key", f"→ sends DTMF digit {DIGIT}")
        self._audio.send_digits(DIGIT)

    def listen_to_farewell(self) -> None:
        """Record the agent's last words, which play before the call leaves it. Raises `TimeoutError`."""
        self._listen("farewell", FAREWELL)

    def _listen(self, name: str, words: bytes) -> None:
        at_ns = wait_for(lambda: received_at(words, self._audio.audio), f"the agent's {name}", WAIT_SECONDS)
        self._note(at_ns, name, f"← receives the whole {name}: {len(words) / RATE:.1f} s")

    def _speak(self) -> None:
        stamps = Stamps(stream=1)
        began_ns = time.time_ns()
        self._audio.send_frames(islice(stamps, SPOKEN_FRAMES))
        wait_for(lambda: self._audio.has_sent_all, "the caller to have spoken", WAIT_SECONDS)
        self._note(began_ns, "spoke", f"→ speaks for {SPOKEN_FRAMES * FRAME_BYTES / RATE:.1f} s")
        wait_for(lambda: self._echo_is_over(stamps.sent[-1]), "the echo", WAIT_SECONDS)
        echo = self._audio.stamps()
        quality = measure_stream(stamps.sent, echo)
        whole = quality.sent - quality.lost
        self._note(
            echo[-1].at_ns,
            "echo",
            f"← receives the echo: {whole} of {quality.sent} frames bit for bit, "
            f"{quality.delay_ms(50):.0f} ms after they were sent, at most {quality.delay_ms(100):.0f}",
        )

    def _echo_is_over(self, sent_ns: int) -> bool:
        """True if the last frame has arrived, or enough frames have and the missing ones are overdue."""
        numbers = {received.stamp.number for received in self._audio.stamps()}
        overdue = time.time_ns() > sent_ns + OVERDUE_NS
        return SPOKEN_FRAMES - 1 in numbers or (overdue and len(numbers) >= ENOUGH_FRAMES)

    def _note(self, at_ns: int, name: str, text: str) -> None:
        at = datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone()
        self._steps.append(Step(at, name, CALLER, text))


def received_at(words: bytes, packets: Sequence[tuple[int, bytes]]) -> int | None:
    """Return when the last byte of these words arrived, in nanoseconds; None if they did not arrive complete."""
    place = _with_one_zero(b"".join(audio for _, audio in packets)).find(_with_one_zero(words))
    if place < 0:
        return None
    ends = list(accumulate(len(audio) for _, audio in packets))
    return packets[bisect_right(ends, place + len(words) - 1)][0]


def _with_one_zero(audio: bytes) -> bytes:
    """Map the two zeros of mu-law to one: a mixer returns only one of them (ITU-T G.711)."""
    return audio.replace(b"\x7f", b"\xff")
