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

MAX_COMPLAINT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What speech may take: seconds from text to audio, waiting for a free process included; output in bytes.

    `clips` are kept for texts that come again, more only until each of them is `keep_seconds` old: whoever has a name
    must have played it by then, after up to 10 s in which the agent finishes speaking.
    """

    seconds: float = 3.0
    processes: int = 4
    output_bytes: int = 8 * 1024 * 1024
    clips: int = 64
    keep_seconds: float = 30.0


class CommandSpeaker:
    """Implements `calls.ports.Speaker`. On the event loop; it never raises.

    `load` makes audio playable under a name, `unload` forgets it. The names are the speaker's own: two of them, even
    with the same command, share none.
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
        # Its own threads: those of the loop resolve names, and must not wait for a program that hangs.
        self._threads = ThreadPoolExecutor(limits.processes, "speech")
        self._under_way: dict[str, asyncio.Task[bool]] = {}
        self._key = secrets.token_bytes(16)

    async def prepare(self, text: str) -> str | None:
        """Synthesise; returns the name of a clip for `Leg.play`, None where that failed or took too long.

        Requests for one text share one synthesis, which a request that is cancelled leaves to the others.
        """
        name = self._name(text)
        if self._clips.use(name):
            return name
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._make(name, text))
            task.add_done_callback(lambda _: self._under_way.pop(name))
        await asyncio.wait({task})
        return name if not task.cancelled() and task.result() else None

    def close(self) -> None:
        """Forget all clips; what is under way is not waited for."""
        for task in self._under_way.values():
            task.cancel()
        self._clips.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _name(self, text: str) -> str:
        # Keyed, so that a name that is seen somewhere cannot be tried against likely texts.
        return f"speech:{blake2b(text.encode(errors='replace'), key=self._key, digest_size=16).hexdigest()}"

    async def _make(self, name: str, text: str) -> bool:
        """Make a clip of the text; returns whether it can be played."""
        deadline = time.monotonic() + self._limits.seconds
        try:
            speech = await asyncio.get_running_loop().run_in_executor(self._threads, self._speech, text, deadline)
            await self._load(name, speech)
            self._clips.add(name)
        except CommandFailed as error:
            _warn(self._command[0], str(error), _fit_to_log(error.complaint, text))
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


def _warn(program: str, why: str, complaint: str = "") -> None:
    fields = {"event": "speech_failed", "program": program, "detail": why, "complaint": complaint}
    logger.warning("utterance not spoken", extra=fields)


def _fit_to_log(complaint: str, text: str) -> str:
    """Return the last line of a program's standard error, unless it has a word or a number of what was to be said."""
    line = next((line.strip() for line in reversed(complaint.splitlines()) if line.strip()), "")
    if _words(line) & _words(text):
        return "not shown: it may quote the utterance"
    return line[:MAX_COMPLAINT_CHARACTERS]


def _words(text: str) -> set[str]:
    # Not the short ones, which any two texts have in common.
    return set(re.findall(r"\w*\d\w*|\w{4,}", text.casefold()))
