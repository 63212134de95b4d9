"""Audio of a WebSocket agent over TLS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.harness.certificates import Authority
from tests.harness.media.stamp import Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .audio_site import WEBSOCKET, AudioSite, audio_site
from .two_way_audio import assert_whole_both_ways


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    folder = tmp_path_factory.mktemp("audio-tls")
    with audio_site(folder, cxone, authority=Authority(folder)) as running:
        yield running


def test_audio_arrives_complete_in_both_directions(site: AudioSite) -> None:
    with site.call(WEBSOCKET) as call:
        assert_whole_both_ways(call)


def test_marks_come_back_and_messages_are_numbered_without_a_gap(site: AudioSite) -> None:
    with site.call(WEBSOCKET) as call:
        agent = call.websocket_agent
        call.caller.send_frames(itertools.islice(Stamps(1), 20))
        agent.send_at_once(b"\x10" * 1600)
        agent.mark("end")
        wait_for(lambda: "end" in agent.marks, "the mark")
        messages = [message for kind in ("start", "media", "mark") for _, message in agent.events(kind)]
        numbers = sorted(int(message["sequenceNumber"]) for message in messages)
        assert numbers == list(range(1, len(numbers) + 1))
