"""Speech by a command: text on its standard input, a WAV on its standard output."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

from sipbridge.speech.clips import RecentClips
from sipbridge.speech.command import CommandFailed, run_command
from sipbridge.speech.wav import read_speech
from sipbridge.wav import Pcm

logger = logging.getLogger(__name__)

MAX_STDERR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of speech synthesis. `seconds` from text to audio include the wait for a free process.

    `clips` are kept for repeated texts. More are kept only until they are `keep_seconds` old: a clip must be played by
    then, after up to 10 s in which the agent finishes speaking.
    """

    seconds: float = 3.0
    processes: int = 4
    output_bytes: int = 8 * 1024 * 1024
    clips: int = 64
    keep_seconds: float = 30.0


class CommandSpeaker:
    """Implements `calls.ports.Speaker`. Runs on the event loop and never raises.

    `load` makes audio playable under a name, `unload` removes it. Names are unique to a speaker: two speakers share
    none, even with the same command.
    """

    def __init__(
        self,
        command: Sequence[str],
        load: Callable[[str, Pcm], Awaitable[None]],
        unload: Callable[[str], None],
        *,
        limits: Limits = Limits(),
    ) -> None:
        self._command = tuple(command)
        self._load = load
        self._limits = limits
        self._clips = RecentClips(limits.clips, limits.keep_seconds, unload)
        # Threads of its own: those of the event loop resolve host names, and must not wait for a program that hangs.
        self._threads = ThreadPoolExecutor(limits.processes, "speech")
        self._syntheses: dict[str, asyncio.Task[bool]] = {}
        self._key = secrets.token_bytes(16)

    async def prepare(self, text: str) -> str | None:
        """Synthesise a text. Return the name of a clip for `Leg.play`; None if that failed or took too long.

        Requests for the same text share one synthesis. A cancelled request does not cancel it.
        """
        name = self._name(text)
        if self._clips.use(name):
            return name
        task = self._syntheses.get(name)
        if task is None:
            task = self._syntheses[name] = asyncio.create_task(self._make(name, text))
            task.add_done_callback(lambda _: self._syntheses.pop(name))
        await asyncio.wait({task})
        return name if not task.cancelled() and task.result() else None

    def close(self) -> None:
        """Unload all clips and cancel pending syntheses."""
        for task in self._syntheses.values():
            task.cancel()
        self._clips.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _name(self, text: str) -> str:
        # Keyed, so that a logged name cannot be checked against likely texts.
        return f"speech:{blake2b(text.encode(errors='replace'), key=self._key, digest_size=16).hexdigest()}"

    async def _make(self, name: str, text: str) -> bool:
        """Make a clip of the text. Return True if it can be played."""
        deadline = time.monotonic() + self._limits.seconds
        try:
            speech = await asyncio.get_running_loop().run_in_executor(self._threads, self._speech, text, deadline)
            await self._load(name, speech)
            self._clips.add(name)
        except CommandFailed as error:
            _warn(self._command[0], str(error), _loggable_line(error.stderr, text))
        except Exception:
            logger.exception("utterance not spoken", extra={"event": "speech_failed", "program": self._command[0]})
        else:
            return True
        return False

    def _speech(self, text: str, deadline: float) -> Pcm:
        """Run the command, in a thread. Raises `CommandFailed`."""
        output = run_command(
            self._command,
            f"{text}\n".encode(errors="replace"),
            deadline=deadline,
            max_bytes=self._limits.output_bytes,
        )
        try:
            return read_speech(output)
        except ValueError as error:
            raise CommandFailed(str(error)) from None


def _warn(program: str, why: str, stderr: str = "") -> None:
    fields = {"event": "speech_failed", "program": program, "detail": why, "complaint": stderr}
    logger.warning("utterance not spoken", extra=fields)


def _loggable_line(stderr: str, text: str) -> str:
    """Return the last line of a program's standard error, unless it shares a word or a number with the text."""
    line = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    if _words(line) & _words(text):
        return "not shown: it may quote the utterance"
    return line[:MAX_STDERR_CHARACTERS]


def _words(text: str) -> set[str]:
    # Short words are in most texts.
    return set(re.findall(r"\w*\d\w*|\w{4,}", text.casefold()))
