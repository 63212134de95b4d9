"""baresip as the agent of a call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.media.g711 import PCMA
from tests.harness.media.stamp import Stamps
from tests.harness.programs.baresip import Baresip
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .site import (
    BARESIP,
    BARESIP_TCP,
    Caller,
    InteropSite,
    assert_in_order,
    assert_whole,
    frame_numbers,
    interop_site,
    longest_run,
    measure_echo,
    recorded_frames,
    wait_for_more_frames,
    wait_for_run,
    write_recording,
)

pytestmark = pytest.mark.usefixtures("baresip")

ENDLESS_FRAMES = 3000
TO_AGENT, TO_CALLER = 60_001, 60_002
RUN = 100  # 2 s


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[InteropSite]:
    with interop_site(tmp_path_factory.mktemp("site"), cxone) as running:
        yield running


@pytest.fixture
def echo(site: InteropSite, tmp_path: Path) -> Iterator[Baresip]:
    """An agent that answers at once and echoes."""
    with Baresip(tmp_path, "agent", port=site.agent_port) as running:
        yield running


@pytest.fixture
def playing_agent(site: InteropSite, tmp_path: Path) -> Iterator[Baresip]:
    """An agent that answers at once and plays a recording without end."""
    recording = write_recording(tmp_path / "recording.wav", ENDLESS_FRAMES, TO_CALLER)
    with Baresip(tmp_path, "agent", recording=recording, port=site.agent_port) as running:
        yield running


def check_audio_goes_on(caller: Caller, agent: Baresip) -> None:
    """Check audio after a hold: baresip 1.0 then no longer echoes or records, and its events show what arrives."""
    wait_for_more_frames(caller.audio, TO_CALLER)
    caller.audio.send_digits("5")
    assert agent.event("CALL_DTMF_START")["param"] == "5"


def test_the_caller_is_answered_when_the_agent_answers(site: InteropSite, tmp_path: Path) -> None:
    with (
        Baresip(tmp_path, "agent", auto_answer=False, port=site.agent_port) as agent,
        site.caller(BARESIP) as caller,
    ):
        agent.event("CALL_INCOMING")
        wait_for(lambda: caller.has_response(180), "the ringing")
        assert not caller.has_response(200)
        agent.accept()
        caller.call.wait_until_answered()
        wait_for(lambda: caller.has_response(200), "the answer")


def test_audio_arrives_complete_and_in_order_in_both_directions(site: InteropSite, playing_agent: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        audio = caller.audio
        audio.send_frames(Stamps(TO_AGENT))
        wait_for_run(playing_agent, TO_AGENT, RUN)
        wait_for(lambda: longest_run(frame_numbers(audio.stamps(), TO_CALLER)) >= RUN, "a run at the caller", 20)
    playing_agent.event("CALL_CLOSED")
    assert_in_order(frame_numbers(audio.stamps(), TO_CALLER), RUN)
    assert_in_order(recorded_frames(playing_agent, TO_AGENT), RUN)


@pytest.mark.parametrize("project", [BARESIP, BARESIP_TCP])
def test_the_agents_echo_comes_back_complete_and_in_time(site: InteropSite, echo: Baresip, project: str) -> None:
    with site.caller(project) as caller:
        assert_whole(measure_echo(caller.audio))
    assert echo.event("CALL_ESTABLISHED")["direction"] == "incoming"


def test_an_alaw_caller_is_echoed_by_a_mulaw_agent(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP, payload_type=PCMA) as caller:
        assert_whole(measure_echo(caller.audio, alaw=True))
        assert {packet.payload_type for packet in caller.audio.packets} == {PCMA}
    echo.event("CALL_CLOSED")


def test_dtmf_digits_reach_the_other_side_once_each(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        caller.audio.send_digits("15#")
        assert [echo.event("CALL_DTMF_START")["param"] for _ in range(3)] == ["1", "5", "#"]
        echo.send_digits("70*")
        wait_for(lambda: caller.audio.digits() == "70*", "the agent's DTMF digits")


def test_audio_goes_on_after_the_agent_held_the_call(site: InteropSite, playing_agent: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        wait_for_more_frames(caller.audio, TO_CALLER)
        playing_agent.hold()
        playing_agent.next_trace_line("a=recvonly")  # the bridge's answer
        assert caller.call.is_live()
        playing_agent.resume()
        playing_agent.next_trace_line("a=sendrecv")  # its offer
        playing_agent.next_trace_line("a=sendrecv")  # and the answer
        check_audio_goes_on(caller, playing_agent)
        playing_agent.hang_up()
        caller.call.record()


def test_audio_goes_on_after_the_caller_held_the_call(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP, "media_hold", pause_seconds=1) as caller:
        assert_whole(measure_echo(caller.audio))
        wait_for(lambda: len(caller.sipp.received(200)) >= 3, "hold and resume")
        assert_whole(measure_echo(caller.audio))
    echo.event("CALL_CLOSED")


def test_the_agents_refer_hands_off_and_its_notify_reports_the_outcome(site: InteropSite, echo: Baresip) -> None:
    grown = site.count()
    with site.caller(BARESIP) as caller:
        caller.call.wait_until_answered()
        echo.transfer("sip:sales@127.0.0.1")
        echo.next_trace_line("SIP/2.0 202")
        echo.next_trace_line("NOTIFY sip:")
        echo.next_trace_line("Subscription-State: terminated")
        echo.next_trace_line("SIP/2.0 202")  # in its body: CXone accepted the Signal, and more is not known
        echo.event("CALL_CLOSED")
    record = caller.call.record()
    assert caller.call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "sales"}]
    assert record["handoff"]["destination"] == "sales"
    assert record["handoff"]["state"] == "handoff_completed"
    grown("sipbridge_handoffs_total", project=BARESIP, method="release", reason="unconfirmed")


def test_a_refer_to_a_target_that_is_not_allowed_is_rejected(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        assert_whole(measure_echo(caller.audio))
        echo.transfer("sip:+15550911@192.0.2.1")
        assert echo.event("TRANSFER_FAILED")["param"] == "403 Forbidden"
        # baresip hangs up on its own after the rejection. The caller for whom it asked for a human gets one.
        record = caller.call.record()
    assert (record["handoff"]["requested_by"], record["handoff"]["reason"]) == ("bridge", "invalid_handoff")


def test_the_agent_ends_the_conversation_by_hanging_up(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        assert_whole(measure_echo(caller.audio))  # an agent that leaves before it has sent audio is lost
        echo.hang_up()
        record = caller.call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert caller.call.signals() == [{"p1": "End"}]


def test_the_agent_gets_a_bye_when_the_call_is_ended(site: InteropSite, echo: Baresip) -> None:
    with site.caller(BARESIP) as caller:
        caller.call.hang_up()
        assert echo.event("CALL_CLOSED")["param"] == "Connection reset by peer"
