from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.media.recordings import sweep, write_wav
from tests.harness.peers import need
from tests.harness.programs import pipecat_peer
from tests.harness.programs.baresip import version
from tests.harness.programs.pipecat_peer import PipecatAgent

TUNE_SECONDS = 3.0
SPEECH_RATE = 24_000  # the usual rate of speech synthesis


@pytest.fixture(scope="session")
def baresip() -> None:
    """For tests that run it: 1.0, the version of Debian 12. Differences in Debian 13's 1.1: docs/testing.md."""
    found = version()
    need(f"baresip 1.0 (found: {found or 'none'})", installed=found.startswith("1.0."))


@pytest.fixture(scope="module")
def pipecat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipecatAgent]:
    """The agent built from Pipecat's parts, with a tune to play."""
    need("Pipecat", installed=pipecat_peer.PYTHON.exists())
    folder = tmp_path_factory.mktemp("pipecat")
    tune = write_wav(folder / "tune.wav", sweep(TUNE_SECONDS, SPEECH_RATE), SPEECH_RATE)
    with PipecatAgent(folder, tune) as running:
        yield running
