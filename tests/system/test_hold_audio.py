"""The hold audio that a caller hears: the looped recording without a gap, until they are taken."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.g711 import MULAW, noise
from tests.harness.media.recordings import write_wav
from tests.harness.media.rtp_peer import RtpPort
from tests.harness.media.stamp import Stamps
from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, project_settings
from tests.harness.waiting import wait_for

from .audio_site import AudioCall
from .two_way_audio import assert_whole_both_ways
from .websocket_site import WebsocketCall, WebsocketSite, websocket_project, websocket_site

# Not a whole number of frames, so that the seam is within one.
HOLD = noise(0.45)[:-37]
GRACE_SECONDS = 3
TAKEN_AFTER_SECONDS = 2.5
MEDIA_TIMEOUT_SECONDS = 1
# The caller's audio that a desk hears first: the delay of the conference and its jitter buffer, on a busy machine.
OLDEST_MS = 200


@dataclass(frozen=True)
class HoldingSite:
    """A bridge whose callers hear a recording on hold: of a WebSocket agent, of a SIP agent, and for a desk."""

    callers: WebsocketSite
    wav: Path
    agent_port: int
    desk_port: int


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[HoldingSite]:
    folder = tmp_path_factory.mktemp("hold")
    agent, desk = reserved_port(), reserved_port()
    wav = write_wav(folder / "hold.wav", array("h", (MULAW[code] for code in HOLD)))
    audio = {"hold_audio": str(wav), "release_grace_seconds": GRACE_SECONDS}
    sip_agent = {"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent}"}

    def projects(url: str) -> dict[str, Settings]:
        released = project_settings("relayed", agent=sip_agent)
        released["handoff"] |= audio
        desked = project_settings(
            "desked",
            {"method": "invite", "uri": f"sip:desk@127.0.0.1:{desk}"},
            agent=sip_agent,
            media_timeout_seconds=MEDIA_TIMEOUT_SECONDS,
        )
        # The agent is kept while the desk rings.
        desked["handoff"] |= audio | {"take_back_seconds": 60}
        return {"direct": websocket_project("direct", url, handoff=audio), "relayed": released, "desked": desked}

    with websocket_site(folder, cxone, projects) as callers:
        yield HoldingSite(callers, wav, agent, desk)


@contextmanager
def _far_end(holding: HoldingSite, port: int) -> Iterator[RtpPort]:
    """Answer a call on a SIP port; yield the port of its audio."""
    with holding.callers.rtp.port() as rtp:
        keys = {"rtp_port": str(rtp.port)}
        with Sipp("media_agent", holding.callers.trunk.folder, port=port, keys=keys).await_port() as sipp:
            yield rtp
            sipp.check()


def heard(call: WebsocketCall) -> bytes:
    """Return the audio that the caller has received so far."""
    return call.received_audio()


def turns_heard(received: bytes) -> int:
    """How often the recording was heard without a gap: the length of the longest row of it."""
    turns = 0
    while HOLD * (turns + 1) in received:
        turns += 1
    return turns


def hand_off(call: WebsocketCall) -> None:
    """Hand off by the API, once the call is there."""
    call_id = call.wait_until_answered()
    answer = call.project.request(f"calls/{call_id}/handoff", "POST", {"reason": "asked"})
    assert answer.status // 100 == 2, answer.body


def test_the_recording_is_looped_without_a_gap_until_the_bye_of_the_bridge(holding: HoldingSite) -> None:
    with holding.callers.call("direct") as call:
        call.agent().hand_off(reason="held")
        call.wait_for_scenario()
        record = call.record()
    # The seconds of the grace, less the first turn that may begin late and the last one that is cut off.
    assert turns_heard(heard(call)) >= GRACE_SECONDS / 0.45 - 2
    assert (record["handoff"]["signal"], record["handoff"]["transfer"]) == ("accepted", "released")


def test_nothing_is_sent_once_cxone_has_taken_the_caller(holding: HoldingSite) -> None:
    with holding.callers.call("direct", "media_taken", hold_seconds=TAKEN_AFTER_SECONDS) as call:
        call.agent().hand_off(reason="held")
        call.wait_for_scenario()
        assert call.record()["handoff"]["transfer"] == "released_by_peer"
        packets = len(call.caller.packets)
        holding.callers.trunk.bridge.wait_until_idle()
        assert len(call.caller.packets) == packets
    assert turns_heard(heard(call)) >= 2


def test_a_relayed_caller_hears_the_recording_too(holding: HoldingSite) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(_far_end(holding, holding.agent_port))
        call = stack.enter_context(holding.callers.call("relayed"))
        call.wait_until_answered()
        assert_whole_both_ways(AudioCall(call.caller, agent.stream(), call.sipp, None), 25)
        hand_off(call)
        call.wait_for_scenario()
    assert turns_heard(heard(call)) >= GRACE_SECONDS / 0.45 - 2


def test_the_recording_ends_when_a_desk_answers(holding: HoldingSite) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(_far_end(holding, holding.agent_port))
        call = stack.enter_context(holding.callers.call("desked"))
        call.wait_until_answered()
        assert agent.stream()
        hand_off(call)
        # The desk does not answer yet, and the INVITE is repeated.
        wait_for(lambda: turns_heard(heard(call)) >= 2, "two turns of the recording")
        desk = stack.enter_context(_far_end(holding, holding.desk_port))
        assert_whole_both_ways(AudioCall(call.caller, desk.stream(), call.sipp, None), 25)
        before = len(heard(call))
        wait_for(lambda: len(heard(call)) > before + len(HOLD), "more audio")
        assert HOLD[:160] not in heard(call)[before:]
        desk.stream().muted = True
        call.wait_for_scenario()


def test_a_desk_gets_nothing_of_the_time_before_it_was_joined(holding: HoldingSite) -> None:
    stamps = Stamps(7)
    with ExitStack() as stack:
        stack.enter_context(_far_end(holding, holding.agent_port))
        # The desk wants packets of another length, so the conference carries the audio.
        call = stack.enter_context(holding.callers.call("desked", "media_ptime", ptime=40))
        call.wait_until_answered()
        hand_off(call)
        wait_for(lambda: turns_heard(heard(call)) >= 1, "the recording")
        call.caller.send_frames(stamps)
        wait_for(lambda: turns_heard(heard(call)) >= 4, "more than a second of it")
        desk = stack.enter_context(_far_end(holding, holding.desk_port))
        wait_for(lambda: len(desk.stream().stamps()) >= 10, "audio of the caller")
        first = desk.stream().stamps()[0]
        call.caller.muted = desk.stream().muted = True
        call.wait_for_scenario()
    assert (first.at_ns - first.stamp.sent_ns) / 1_000_000 < OLDEST_MS
