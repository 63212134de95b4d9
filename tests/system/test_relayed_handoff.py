"""A handoff from a relayed call: the agent is relayed, then the utterance is played, then the desk is relayed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.g711 import MULAW, noise
from tests.harness.media.recordings import write_wav
from tests.harness.media.rtp_peer import RtpPort, RtpStream
from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, project_settings
from tests.harness.waiting import wait_for

from .audio_site import AudioCall
from .two_way_audio import assert_whole_both_ways
from .websocket_site import WebsocketCall, WebsocketSite, websocket_site

SPEECH = noise(0.5)
MEDIA_TIMEOUT_SECONDS = 1


@dataclass(frozen=True)
class SpeakingSite:
    """A bridge with a SIP agent and a desk, and what it speaks to the caller before it calls the desk."""

    callers: WebsocketSite
    agent_port: int
    desk_port: int

    @contextmanager
    def far_end(self, port: int) -> Iterator[RtpPort]:
        """Answer a call on a SIP port; yield the port of its audio."""
        with self.callers.rtp.port() as rtp:
            keys = {"rtp_port": str(rtp.port)}
            with Sipp("media_agent", self.callers.trunk.folder, port=port, keys=keys).await_port() as sipp:
                yield rtp
                sipp.check()


@pytest.fixture
def speaking(tmp_path: Path, cxone: Simulator) -> Iterator[SpeakingSite]:
    agent, desk = reserved_port(), reserved_port()
    spoken = write_wav(tmp_path / "spoken.wav", array("h", (MULAW[code] for code in SPEECH)))
    project = project_settings(
        "talking",
        {"method": "invite", "uri": f"sip:desk@127.0.0.1:{desk}"},
        agent={"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent}"},
        tts_command=["cat", str(spoken)],
        media_timeout_seconds=MEDIA_TIMEOUT_SECONDS,
    )

    def projects(_url: str) -> dict[str, Settings]:
        return {"talking": project}

    with websocket_site(tmp_path, cxone, projects) as callers:
        yield SpeakingSite(callers, agent, desk)


def assert_relayed(call: WebsocketCall, far_end: RtpStream) -> None:
    """Assert that audio passes complete both ways."""
    assert_whole_both_ways(AudioCall(call.caller, far_end, call.sipp, None), 25)


def test_an_utterance_is_played_between_two_relayed_conversations(speaking: SpeakingSite) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(speaking.far_end(speaking.agent_port))
        desk = stack.enter_context(speaking.far_end(speaking.desk_port))
        call = stack.enter_context(speaking.callers.call("talking"))
        assert_relayed(call, agent.stream())
        (live,) = wait_for(lambda: call.project.calls(call.contact.id), "the call")
        answer = call.project.request(f"calls/{live['id']}/handoff", "POST", {"reason": "done", "utterance": "Bye."})
        assert answer.status // 100 == 2, answer.body
        wait_for(lambda: SPEECH in call.received_audio(), "the utterance")
        assert_relayed(call, desk.stream())
        got = call.caller.packets
        assert len({each.source for each in got}) == 1
        assert len({each.sequence for each in got}) == len(got)
        desk.stream().muted = True
        call.wait_for_scenario()
        assert call.record()["reason"] == "handed_off"
