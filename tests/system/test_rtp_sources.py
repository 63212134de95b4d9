"""RTP from strangers: which audio the agent receives, and which address receives the agent's."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.harness.media.rtp_peer import RtpStream
from tests.harness.media.stamp import Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for
from tests.harness.worker import Worker

from .audio_site import SIP, WEBSOCKET, AudioSite, Peer, audio_site
from .rtcp import REPORT_SECONDS, mute, with_rtcp
from .two_way_audio import assert_whole_both_ways

STRANGER = 13  # by the audio it sends
FLOOD_SECONDS, AT_ONCE = 0.02, 12  # 600 packets per second
RECEIVER_REPORT = struct.pack("!BBHI", 0x80, 201, 1, 0x5EED)  # RFC 3550, 6.4.2
STRAY = "sipbridge_media_stray_packets_total"

both_agents = pytest.mark.parametrize("kind", [SIP, WEBSOCKET])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[AudioSite]:
    with audio_site(tmp_path_factory.mktemp("strangers"), cxone) as running:
        yield running


def flooding(stranger: RtpStream) -> Worker:
    """Send to the call in the background, faster than any far end does."""

    def send() -> None:
        for _ in range(AT_ONCE):
            stranger.send_due_packet()

    return Worker("flood", send, lambda: FLOOD_SECONDS)


def reports_at(rtcp: socket.socket) -> int:
    """Count the waiting packets, and read them."""
    rtcp.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
    for count in itertools.count():
        try:
            rtcp.recv(2048)
        except BlockingIOError:
            rtcp.settimeout(REPORT_SECONDS)
            return count
    raise AssertionError


def has_received(receiver: Peer, stream: int) -> bool:
    return any(each.stamp.stream == stream for each in receiver.stamps())


@both_agents
def test_a_stranger_that_floods_a_call_does_not_reach_the_agent_and_receives_no_audio(
    site: AudioSite, kind: str
) -> None:
    with site.call(kind) as call, site.rtp.port() as port:
        assert_whole_both_ways(call, 10)
        before = site.bridge.metrics().value(STRAY)
        stranger = RtpStream(port, call.caller.remote)
        stranger.send_digits("9")
        stranger.send_frames(Stamps(STRANGER))
        with flooding(stranger):
            assert_whole_both_ways(call)
        call.caller.send_digits("1")
        wait_for(call.agent.digits, "the caller's DTMF digit")
        assert_whole_both_ways(call, 10)
        assert call.agent.digits() == "1"
        assert not has_received(call.agent, STRANGER)
        assert not port.streams
        wait_for(lambda: site.bridge.metrics().value(STRAY) > before, "the metric of discarded packets")


@both_agents
def test_a_caller_whose_audio_begins_after_a_strangers_replaces_the_stranger(site: AudioSite, kind: str) -> None:
    with (
        site.rtp.port(on_stream=mute) as own,
        site.call(kind, caller=own) as call,
        site.rtp.port() as port,
    ):
        stranger = port.call(call.caller.remote)
        wait_for(lambda: stranger.received, "audio at the stranger's port")
        stranger.send_frames(Stamps(STRANGER))
        wait_for(lambda: has_received(call.agent, STRANGER), "the stranger's audio")
        call.caller.muted = False
        assert_whole_both_ways(call, 10)
        strangers, received = len(stranger.received), len(call.agent.stamps())
        assert_whole_both_ways(call)
        assert len(stranger.received) == strangers
        assert all(each.stamp.stream != STRANGER for each in call.agent.stamps()[received:])


@both_agents
def test_a_caller_behind_nat_is_found_by_its_source_address_and_cannot_be_replaced(site: AudioSite, kind: str) -> None:
    with (
        site.rtp.port(on_stream=mute) as unreachable,
        site.call(kind, caller=unreachable) as call,
        site.rtp.port() as outside,
        site.rtp.port() as port,
    ):
        caller = outside.call(call.caller.remote)
        assert_whole_both_ways(replace(call, caller=caller), 10)
        got = len(call.caller.received)
        stranger = RtpStream(port, caller.remote)
        stranger.send_frames(Stamps(STRANGER))
        with flooding(stranger):
            assert_whole_both_ways(replace(call, caller=caller))
        assert not has_received(call.agent, STRANGER)
        assert not port.streams
        assert len(call.caller.received) == got


@both_agents
def test_after_a_reinvite_with_a_new_address_audio_from_the_old_one_is_discarded(site: AudioSite, kind: str) -> None:
    with (
        site.rtp.port() as new,
        site.call(kind, "media_moves", pause_seconds=0.8, keys={"new_port": str(new.port)}) as call,
    ):
        assert_whole_both_ways(call, 10)
        moved = replace(call, caller=new.call(call.caller.remote))  # not known to the bridge yet
        call.wait_for_ack(2)
        assert_whole_both_ways(moved, 10)
        got = len(call.caller.received)
        call.caller.send_frames(Stamps(STRANGER))  # it goes on sending from there
        assert_whole_both_ways(moved)
        assert not has_received(call.agent, STRANGER)
        assert len(call.caller.received) == got


def test_our_rtcp_follows_our_rtp_regardless_of_the_source_of_rtcp(site: AudioSite) -> None:
    with (
        with_rtcp(site.rtp) as (own, caller_rtcp),
        site.call(WEBSOCKET, caller=own) as call,
        with_rtcp(site.rtp) as (port, stranger_rtcp),
    ):
        host, bridge_port = call.caller.remote
        stranger = port.call(call.caller.remote)
        stranger.muted = False
        stranger_rtcp.recv(2048)
        call.caller.muted = False
        assert_whole_both_ways(call, 10)
        reports_at(caller_rtcp)
        for _ in range(10):
            stranger_rtcp.sendto(RECEIVER_REPORT, (host, bridge_port + 1))
        reports_at(stranger_rtcp)
        caller_rtcp.recv(2048)
        assert reports_at(stranger_rtcp) == 0
