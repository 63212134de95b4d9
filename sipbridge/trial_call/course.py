"""The course of a test call: listen, speak, press the digits, and wait for the handoff."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp

from sipbridge.config import own_client
from sipbridge.simulators.caller.audio import FRAME_SECONDS, Audio, open_audio
from sipbridge.simulators.caller.call import Call, Dialled
from sipbridge.simulators.caller.connection import connect
from sipbridge.simulators.echo_agent import note

from .events import CallEvents, signals_of, subscribed
from .target import CALLER as CALLER_NUMBER
from .target import Target
from .timeline import CALLER, Step, in_order, of_events, of_signals, of_sip

# All steps, in the order of those within one millisecond.
ORDER = (
    *("INVITE", "100", "call.started", "180", "183", "200", "ACK", "first audio", "spoke", "key"),
    *("handoff.started", "signal", "REFER", "202", "NOTIFY", "audio", "BYE", "handoff.finished", "call.ended"),
)
_CONNECT_SECONDS = 5.0
_FIRST_WORDS_SECONDS = 3.0
_PAUSE_SECONDS = 0.6
_LISTEN_SECONDS = 8.0
_SPOKEN_HZ = (440, 554, 659)
_REJECTED = 300


@dataclass(slots=True)
class Course:
    """The steps of a call so far. `show` gets the progress; `trouble` is empty if all went well.

    `agent_spoke` is false if the audio that arrived was silent.
    """

    show: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    trouble: str = ""
    agent_spoke: bool = False

    def note(self, name: str, text: str, at: datetime | None = None) -> None:
        """Add a step of the caller."""
        self.steps.append(Step((at or datetime.now(UTC)).astimezone(), name, CALLER, text))


async def run_call(target: Target, show: Callable[[str], None]) -> Course:
    """Place a call, and return its steps in order. `show` gets the progress.

    Raises `SetupError` if the HTTP API is not reached.
    """
    course = Course(show)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        events = CallEvents(target.contact_id)
        if target.key is not None:
            events = await stack.enter_async_context(
                subscribed(session, target.events_url, target.key, target.contact_id)
            )
        try:
            async with _opened(target) as (call, audio):
                try:
                    await _run(call, audio, target, session, events, course)
                finally:
                    course.steps += of_sip(call.messages)
        except ValueError as error:
            course.trouble = str(error)
        except OSError as error:
            course.trouble = (
                f"no response from {target.transport}://{target.host}:{target.port}: {error or 'timed out'}; "
                "is the bridge running, and does it listen there?"
            )
        course.steps += of_events(events.events)
        if target.simulator:
            course.steps += of_signals(await signals_of(session, target.simulator, target.contact_id, wait=False))
    course.steps = in_order(course.steps, [*ORDER, *sorted({step.name for step in course.steps} - set(ORDER))])
    return course


@asynccontextmanager
async def _opened(target: Target) -> AsyncIterator[tuple[Call, Audio]]:
    context = own_client(target.tls) if target.transport == "tls" else None
    async with asyncio.timeout(_CONNECT_SECONDS):
        connection = await connect(target.transport, target.host, target.port, context)
    audio = await open_audio(connection.local[0])
    uri = f"sip:{target.number}@{target.host}:{target.port}"
    call = Call(connection, audio, Dialled(uri, CALLER_NUMBER, target.headers))
    try:
        yield call, audio
    finally:
        await call.close()


async def _run(
    call: Call, audio: Audio, target: Target, session: aiohttp.ClientSession, events: CallEvents, course: Course
) -> None:
    course.show("calling")
    response = await call.place()
    if response.status >= _REJECTED:
        course.trouble = (
            f"the bridge rejects the call with {response.start_line.removeprefix('SIP/2.0 ')}; its log says why "
            "(event invite_refused), and docs/handoff.md what to do"
        )
        return
    releasing = asyncio.create_task(_release(call, target, session, events))
    try:
        await _talk(call, audio, target, course)
    finally:
        releasing.cancel()
    lost = f", {audio.lost_packets} lost" if audio.lost_packets else ""
    voiced = audio.voiced_frames * FRAME_SECONDS
    course.note("audio", f"← received {audio.packets} packets{lost}; {voiced:.1f} s of them are not silent")
    if target.key is not None:
        await events.until("call.ended", *(["handoff.finished"] if events.handoff else []))
    course.agent_spoke = audio.voiced_frames > 0
    course.trouble = find_trouble(audio, target, events)


async def _talk(call: Call, audio: Audio, target: Target, course: Course) -> None:
    """Hold the conversation until the bridge ends the call; hang up if no handoff follows."""
    course.show("listening to the agent")
    await _or_end(call, audio.heard.wait(), _FIRST_WORDS_SECONDS)
    if audio.first_voice:
        course.note("first audio", "← receives the first words of the agent", audio.first_voice)
    await _or_end(call, audio.pause(_PAUSE_SECONDS), _LISTEN_SECONDS)
    if not call.ended.is_set():
        words = b"".join(map(note, _SPOKEN_HZ))
        course.note("spoke", f"→ speaks for {len(words) / 8000:.1f} s")
        course.show("speaking")
        audio.play(words)
        await _or_end(call, audio.sent_all(), _LISTEN_SECONDS)
        await _or_end(call, asyncio.sleep(_PAUSE_SECONDS), _LISTEN_SECONDS)
    if target.digits and not call.ended.is_set():
        course.note("key", f"→ sends DTMF digit{'s' if len(target.digits) > 1 else ''} {target.digits}")
        for digit in target.digits:
            audio.press(digit)
    course.show("waiting for a handoff")
    await _or_end(call, call.ended.wait(), target.handoff_seconds)
    await call.hang_up()


async def _release(call: Call, target: Target, session: aiohttp.ClientSession, events: CallEvents) -> None:
    """Hang up as CXone's script does after the Signal of a handoff by `release`."""
    if target.simulator and await signals_of(session, target.simulator, target.contact_id, wait=True):
        await events.until("handoff.started")
        if events.handoff.get("method") == "release":
            await call.hang_up()


async def _or_end(call: Call, waiting: Coroutine[object, object, object], seconds: float) -> None:
    """Wait for something, for the end of the call, or for this many seconds."""
    tasks = {asyncio.create_task(waiting), asyncio.create_task(call.ended.wait())}
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def find_trouble(audio: Audio, target: Target, events: CallEvents) -> str:
    """Return what is wrong with a call that was answered; empty if nothing is."""
    if not audio.packets:
        return "no audio arrived; check the firewall for sip.rtp_ports, and sip.public_address"
    state = events.handoff.get("state")
    if state not in (None, "handoff_completed"):
        return f"the handoff ended as {state}; the bridge's log and docs/handoff.md say why"
    if events.failure:
        return f"the call ended with {events.failure}; docs/handoff.md says what that means"
    if target.digits and target.key is not None and state is None:
        return (
            f"no handoff followed the DTMF digits {target.digits}; does the agent, or handoff.dtmf_key, expect others?"
        )
    return ""
