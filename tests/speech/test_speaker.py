from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from sipbridge.calls.ports.speech import Speaker
from sipbridge.speech import CommandSpeaker, Limits
from sipbridge.wav import Pcm

from .programs import python, voice

TEXT = "Putting you through to Ms. Hovercraft."


class ClipStore:
    """The clips that were loaded, by name."""

    def __init__(self) -> None:
        self.clips: dict[str, Pcm] = {}

    async def load(self, name: str, pcm: Pcm) -> None:
        self.clips[name] = pcm

    def drop(self, name: str) -> None:
        del self.clips[name]


@pytest.fixture
def clip_store() -> ClipStore:
    return ClipStore()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def texts_made(runs: Path) -> list[int]:
    """Return the lengths of the texts of the voice, one per run."""
    return [int(length) for length in runs.read_text().split()]


def make(clip_store: ClipStore, command: Sequence[str], **limits: float) -> CommandSpeaker:
    return CommandSpeaker(command, clip_store.load, clip_store.drop, limits=Limits(**limits))  # type: ignore[arg-type]  # two are whole numbers


def test_it_implements_the_speaker_protocol(clip_store: ClipStore) -> None:
    speaker: Speaker = make(clip_store, ["say"])
    assert speaker


async def test_a_text_becomes_a_clip_under_the_name_that_is_returned(clip_store: ClipStore, runs: Path) -> None:
    name = await make(clip_store, voice(runs)).prepare("two\nlines")
    assert name is not None
    pcm = clip_store.clips[name]
    assert (len(pcm.samples) / 2, pcm.rate) == (len("two\nlines\n"), 8000)
    assert "two" not in name


async def test_a_repeated_text_is_not_synthesised_again(clip_store: ClipStore, runs: Path) -> None:
    speaker = make(clip_store, voice(runs))
    first = await speaker.prepare("one")
    assert await speaker.prepare("four") != first
    assert await speaker.prepare("one") == first
    assert texts_made(runs) == [4, 5]


async def test_concurrent_requests_for_one_text_share_a_synthesis(clip_store: ClipStore, runs: Path) -> None:
    speaker = make(clip_store, voice(runs))
    names = await asyncio.gather(*(speaker.prepare("one") for _ in range(10)))
    assert names == [*clip_store.clips] * 10
    assert texts_made(runs) == [4]


async def test_a_cancelled_request_does_not_cancel_the_synthesis(clip_store: ClipStore, runs: Path) -> None:
    speaker = make(clip_store, voice(runs))
    first, second = (asyncio.create_task(speaker.prepare("one")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second in clip_store.clips
    assert first.cancelled()


async def test_two_speakers_share_no_clip(clip_store: ClipStore, runs: Path) -> None:
    names = [await make(clip_store, voice(runs)).prepare("one") for _ in range(2)]
    assert len(set(names)) == 2


async def test_old_clips_are_unloaded(clip_store: ClipStore, runs: Path) -> None:
    speaker = make(clip_store, voice(runs), clips=1, keep_seconds=0)
    await speaker.prepare("one")
    second = await speaker.prepare("two")
    assert [*clip_store.clips] == [second]


async def test_the_number_of_processes_is_limited(clip_store: ClipStore, runs: Path, tmp_path: Path) -> None:
    alone = python(
        "os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])",
        tmp_path / "lock",
        *voice(runs),
    )
    speaker = make(clip_store, alone, processes=1)
    assert None not in await asyncio.gather(*(speaker.prepare(text) for text in ("a", "b", "c")))


async def test_any_text_can_be_synthesised(clip_store: ClipStore, runs: Path) -> None:
    speaker = make(clip_store, voice(runs))
    assert await speaker.prepare("\ud800 \0 'quoted' $(id) `id`") in clip_store.clips


async def test_a_failure_is_one_warning_without_the_text(
    clip_store: ClipStore, caplog: pytest.LogCaptureFixture
) -> None:
    speaker = make(clip_store, python("sys.stderr.write('reading voices\\nno voice de\\n\\n'); sys.exit(2)"))
    assert await speaker.prepare(TEXT) is None
    [line] = caplog.records
    fields = line.__dict__
    assert (line.levelname, fields["event"]) == ("WARNING", "speech_failed")
    assert (fields["detail"], fields["complaint"]) == ("ended with status 2", "no voice de")
    assert "Hovercraft" not in repr(fields)


@pytest.mark.parametrize(
    "echo", ["sys.stdin.read()", "sys.stdin.read().upper()", "'cannot say ' + sys.stdin.read()[-15:]"]
)
async def test_standard_error_that_repeats_the_text_is_not_logged(
    clip_store: ClipStore, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    assert await make(clip_store, python(f"sys.stderr.write({echo}); sys.exit(1)")).prepare(TEXT) is None
    assert caplog.records[0].__dict__["complaint"] == "not shown: it may quote the utterance"
    assert "hovercraft" not in repr(caplog.records[0].__dict__).casefold()


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        (("/no/such/program",), "cannot be started: No such file or directory"),
        (python("print('Usage: say')"), "wrote unusable output: not a playable WAV file"),
        (python("pass"), "wrote unusable output: not a playable WAV file"),
        (python("print('x' * 1000)"), "wrote more than 100 bytes"),
        (python("import time; time.sleep(60)"), "took too long"),
    ],
    ids=["missing", "garbage", "nothing", "too_much", "hanging"],
)
async def test_every_failure_returns_none_and_logs_the_reason(
    clip_store: ClipStore, caplog: pytest.LogCaptureFixture, command: Sequence[str], detail: str
) -> None:
    # A start takes long on a busy machine: only the program that hangs has a short limit.
    seconds = 0.3 if "sleep" in command[-1] else 10
    assert await make(clip_store, command, output_bytes=100, seconds=seconds).prepare(TEXT) is None
    assert caplog.records[0].__dict__["detail"].startswith(detail)
    assert clip_store.clips == {}


async def test_the_wait_for_a_free_process_counts_towards_the_limit(clip_store: ClipStore) -> None:
    speaker = make(clip_store, python("import time; time.sleep(60)"), processes=1, seconds=0.2)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(speaker.prepare(str(n)) for n in range(20))) == [None] * 20


async def test_a_text_that_failed_is_tried_again(clip_store: ClipStore, runs: Path, tmp_path: Path) -> None:
    once = python(
        "if not os.path.exists(sys.argv[1]): open(sys.argv[1], 'w'); sys.exit(1)\nos.execv(sys.argv[2], sys.argv[2:])",
        tmp_path / "tried",
        *voice(runs),
    )
    speaker = make(clip_store, once)
    assert await speaker.prepare("one") is None
    assert await speaker.prepare("one") in clip_store.clips


async def test_a_clip_that_cannot_be_loaded_is_a_failure(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def load(_name: str, _pcm: Pcm) -> None:
        raise RuntimeError("the SIP thread has stopped")

    assert await CommandSpeaker(voice(runs), load, lambda _: None).prepare("one") is None
    assert [(line.levelno, line.__dict__["event"]) for line in caplog.records] == [(logging.ERROR, "speech_failed")]


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
async def test_espeak_ng_makes_audio(clip_store: ClipStore) -> None:
    name = await make(clip_store, ("espeak-ng", "--stdout")).prepare("One moment, please.")
    assert name is not None
    assert 0.5 < clip_store.clips[name].seconds < 5
