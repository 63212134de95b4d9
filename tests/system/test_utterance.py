"""The last words to a caller before the transfer: spoken, cached, and skipped if they cannot be made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.g711 import MULAW, noise
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings

from .websocket_site import WebsocketCall, WebsocketSite, websocket_project, websocket_site

ESPEAK = "espeak-ng"
TEXT = "One moment, please."
LOUD = 1000  # of 32767
FRAME_SECONDS = 0.02
# A TTS program that hangs is given up after 3 s, counted from the request.
SKIPPED_AFTER_SECONDS = 3


@dataclass(frozen=True)
class SpeakingSite:
    """A bridge whose projects speak in different ways; each run of the speech program appends to `runs`."""

    site: WebsocketSite
    runs: Path

    def times_run(self) -> int:
        """How often the speech program has run."""
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0


@pytest.fixture(scope="module")
def shared_speaking(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SpeakingSite]:
    folder = tmp_path_factory.mktemp("utterances")
    runs = folder / "runs"
    commands = {
        "speaking": ["sh", "-c", f"echo >> {runs}; exec {ESPEAK} --stdout"],
        "speechless": ["false"],
        "stuck": ["sleep", "60"],
    }

    def projects(url: str) -> dict[str, Settings]:
        return {name: websocket_project(name, url, tts_command=command) for name, command in commands.items()}

    with websocket_site(folder, cxone, projects) as running:
        yield SpeakingSite(running, runs)


@pytest.fixture
def speaking(shared_speaking: SpeakingSite) -> Iterator[SpeakingSite]:
    """The bridge that these tests share; no test may leave a call in progress."""
    yield shared_speaking
    shared_speaking.site.trunk.bridge.wait_until_idle()


@pytest.fixture
def espeak() -> None:
    """Skip tests that need speech unless eSpeak is installed; continuous integration has it."""
    if shutil.which(ESPEAK):
        return
    if os.environ.get("CI"):
        pytest.fail(f"{ESPEAK} is not installed, and no test is skipped in CI")
    pytest.skip(f"{ESPEAK} is not installed; make setup installs it if it can")


def speech_after(call: WebsocketCall, sent: bytes) -> tuple[list[int], float]:
    """Return when the caller received loud frames after the agent's audio, and for how many seconds in all."""
    audio = call.caller.audio
    end = call.received_audio().index(sent) + len(sent)
    place, loud = 0, []
    for at_ns, piece in audio:
        if place >= end and max(abs(MULAW[code]) for code in piece) > LOUD:
            loud.append(at_ns)
        place += len(piece)
    return loud, len(loud) * FRAME_SECONDS


@pytest.mark.usefixtures("espeak")
def test_an_utterance_is_spoken_after_the_agents_audio_and_before_cxone_is_signalled(speaking: SpeakingSite) -> None:
    site, sent = speaking.site, noise(0.5)
    for turn in range(2):
        count, runs_before = site.trunk.count(), speaking.times_run()
        with site.call("speaking") as call:
            agent = call.agent()
            agent.send_at_once(sent)
            agent.hand_off(reason="spoken", utterance=TEXT)
            signalled_ns = call.signalled_ns()
            call.wait_for_scenario()
            times, seconds = speech_after(call, sent)
            handoff = call.record()["handoff"]
        assert 0.5 < seconds < 4
        assert times[-1] < signalled_ns
        assert handoff["utterance"] == TEXT
        assert count.grows_by(1, "sipbridge_utterances_total", result="success")
        assert speaking.times_run() - runs_before <= (0 if turn else 1)  # the second time it comes from the cache
    assert speaking.times_run() > 0


@pytest.mark.parametrize("project", ["speechless", "stuck"])
def test_speech_that_cannot_be_made_is_skipped_and_counted(speaking: SpeakingSite, project: str) -> None:
    site, sent = speaking.site, noise(0.5)
    count = site.trunk.count()
    with site.call(project) as call:
        agent = call.agent()
        agent.send_at_once(sent)
        agent.hand_off(reason="unspoken", utterance=TEXT)
        call.wait_for_scenario()
        times, _ = speech_after(call, sent)
        handoff = call.record()["handoff"]
    assert times == []
    assert (handoff["utterance"], handoff["signal"]) == (TEXT, "accepted")
    assert [signal["p3"] for signal in call.signals()] == ["unspoken"]
    assert count.grows_by(1, "sipbridge_utterances_total", result="upstream_error")
    assert site.stage(call, "utterance")["seconds"] < SKIPPED_AFTER_SECONDS


def test_a_handoff_without_an_utterance_plays_nothing(speaking: SpeakingSite) -> None:
    site, sent = speaking.site, noise(0.5)
    count = site.trunk.count()
    with site.call("speaking") as call:
        agent = call.agent()
        agent.send_at_once(sent)
        agent.hand_off(reason="wordless")
        call.wait_for_scenario()
        times, _ = speech_after(call, sent)
        call.record()
    assert times == []
    assert count.grows_by(0, "sipbridge_utterances_total")
