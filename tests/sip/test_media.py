"""The conference slots that the audio of calls is connected to. PJMEDIA may give a free slot to another call."""

from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.media import DialogMedia
from tests.fakes.pjsip import FakePjsip

CLIP = pj.Clip(b"\0\0")


def test_two_calls_are_connected_when_both_have_audio(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    caller.join(agent)
    assert pjsip.connected == set()
    pjsip.audio = {1: 11}
    caller.connect()
    assert pjsip.connected == set()
    pjsip.audio = {1: 11, 2: 12}
    agent.connect()
    assert pjsip.connected == {(11, 12), (12, 11)}


def test_a_slot_that_another_call_has_now_is_not_touched(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.audio = {1: 11, 2: 12}
    caller.join(agent)
    # The agent resumes and hangs up at once, and another call gets its slot before the events of either are handled.
    pjsip.audio, pjsip.connected = {1: 11, 3: 12}, set()
    agent.connect()
    caller.connect()
    agent.part()
    assert pjsip.connected == set()


def test_part_undoes_join(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.audio = {1: 11, 2: 12}
    caller.join(agent)
    caller.part()
    assert pjsip.connected == set()
    caller.connect()
    agent.connect()
    assert pjsip.connected == set()


def test_joining_a_call_to_another_separates_it_from_the_first(pjsip: FakePjsip) -> None:
    caller, agent, desk = DialogMedia(1, pjsip), DialogMedia(2, pjsip), DialogMedia(3, pjsip)
    pjsip.audio = {1: 11, 2: 12, 3: 13}
    caller.join(agent)
    caller.join(desk)
    assert pjsip.connected == {(11, 13), (13, 11)}
    agent.connect()
    assert pjsip.connected == {(11, 13), (13, 11)}


def test_the_peer_of_a_call_that_has_ended_is_joined_to_none(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.audio = {1: 11, 2: 12}
    caller.join(agent)
    pjsip.audio, pjsip.connected = {1: 11}, set()
    agent.close()
    caller.connect()
    assert caller.peer is None
    assert pjsip.connected == set()


def test_a_clip_is_connected_again_after_another_offer_and_answer(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    pjsip.audio = {1: 11}
    caller.play(CLIP, 5)
    (player,) = pjsip.ports
    assert player.token == 5
    pjsip.audio, pjsip.connected = {1: 12}, set()
    caller.connect()
    assert pjsip.connected == {(player.getPortId(), 12)}
    pjsip.connected = set()
    caller.stop_playing()
    caller.connect()
    assert pjsip.connected == set()


def test_a_stream_goes_past_the_conference(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    caller.open_stream(3)
    assert pjsip.direct == {}
    pjsip.audio = {1: 11}
    caller.connect()
    assert pjsip.direct == {1: 3}
    assert not pjsip.ports
    caller.close_stream()
    assert pjsip.direct == {}
    caller.connect()
    assert pjsip.direct == {}


def test_a_stream_of_a_call_without_audio_pauses(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    pjsip.audio = {1: 11}
    caller.open_stream(3)
    pjsip.audio = {}
    caller.connect()
    assert pjsip.direct == {}
    pjsip.audio = {1: 12}
    caller.connect()
    assert pjsip.direct == {1: 3}


def test_a_stream_of_another_codec_is_connected_in_the_conference(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    pjsip.is_direct = False
    pjsip.audio = {1: 11}
    caller.open_stream(3)
    (port,) = pjsip.ports
    assert pjsip.connected == {(11, port.getPortId()), (port.getPortId(), 11)}
    pjsip.connected = set()
    caller.close_stream()
    caller.connect()
    assert pjsip.connected == set()


def test_a_stream_is_mixed_with_a_clip_in_the_conference(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    pjsip.audio = {1: 11}
    caller.open_stream(3)
    caller.play(CLIP, 5)
    player, stream = (port.getPortId() for port in pjsip.ports)
    assert pjsip.direct == {}
    assert pjsip.connected == {(player, 11), (11, stream), (stream, 11)}
    caller.stop_playing()
    assert pjsip.direct == {1: 3}


def test_two_calls_are_relayed_if_their_codecs_permit_that(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.can_relay, pjsip.audio = True, {1: 11}
    caller.join(agent, ord("0"))
    assert pjsip.relayed == {}
    pjsip.audio = {1: 11, 2: 12}
    agent.connect()
    assert pjsip.relayed == {1: 2, 2: 1}
    assert pjsip.withheld == {1: ord("0"), 2: 0}
    assert pjsip.connected == set()
    caller.part()
    assert pjsip.relayed == {}
    caller.connect()
    assert pjsip.relayed == {}


@pytest.mark.parametrize("player", [0, 1])
def test_a_clip_is_mixed_with_the_audio_of_the_other_call_in_the_conference(pjsip: FakePjsip, player: int) -> None:
    caller, agent = calls = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.can_relay, pjsip.audio = True, {1: 11, 2: 12}
    caller.join(agent)
    calls[player].play(CLIP, 5)
    (clip,) = pjsip.ports
    assert pjsip.relayed == {}
    assert pjsip.connected == {(clip.getPortId(), 11 + player), (11, 12), (12, 11)}
    calls[player].stop_playing()
    assert pjsip.relayed == {1: 2, 2: 1}


def test_nothing_of_the_time_before_a_join_is_heard_while_a_clip_plays(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.can_relay, pjsip.audio = True, {1: 11, 2: 12}
    caller.play(CLIP, 5)
    caller.join(agent)
    assert pjsip.dropped == {1, 2}


def test_a_relay_ends_with_the_audio_of_either_call(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.can_relay, pjsip.audio = True, {1: 11, 2: 12}
    caller.join(agent)
    pjsip.audio = {1: 11}
    agent.connect()
    assert pjsip.relayed == {}
    pjsip.audio = {1: 11, 2: 13}
    agent.connect()
    assert pjsip.relayed == {1: 2, 2: 1}
    agent.close()
    assert pjsip.relayed == {}


def test_the_level_of_a_relayed_call_is_that_of_its_packets(pjsip: FakePjsip) -> None:
    caller, agent = DialogMedia(1, pjsip), DialogMedia(2, pjsip)
    pjsip.audio, pjsip.levels, pjsip.relay_levels = {1: 11, 2: 12}, {11: 20}, {1: 30}
    caller.join(agent)
    assert caller.level() == 20
    pjsip.can_relay = True
    caller.connect()
    assert caller.level() == 30


def test_the_level_of_a_call_without_audio_is_0(pjsip: FakePjsip) -> None:
    caller = DialogMedia(1, pjsip)
    pjsip.levels = {-1: 99, 11: 20}
    assert caller.level() == 0
    pjsip.audio = {1: 11}
    assert caller.level() == 20


@pytest.mark.parametrize("playing", [True, False])
def test_nothing_is_connected_after_the_end(pjsip: FakePjsip, playing: bool) -> None:  # noqa: FBT001 (a case)
    caller = DialogMedia(1, pjsip)
    pjsip.audio = {1: 11}
    if playing:
        caller.play(CLIP, 5)
    caller.open_stream(3)
    caller.close()
    pjsip.connected = set()
    caller.connect()
    assert pjsip.connected == set()
    assert pjsip.direct == {}
