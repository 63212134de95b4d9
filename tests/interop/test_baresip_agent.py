"""baresip as the agent of a call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.media.g711 import PCMA
from tests.harness.media.stamp import Stamps, find_stamps
from tests.harness.programs.baresip import Baresip
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .stage import (
    BARESIP,
    BARESIP_TCP,
    Caller,
    Stage,
    assert_in_order,
    assert_whole,
    echoed,
    hears_on,
    numbers,
    recording,
    stage,
)

pytestmark = pytest.mark.usefixtures("baresip")

SPOKEN_FRAMES, ENDLESS_FRAMES = 250, 3000
TO_AGENT, TO_CALLER = 60_001, 60_002
RUN = 100  # 2 s


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage"), cxone) as running:
        yield running


@pytest.fixture
def echo(place: Stage, tmp_path: Path) -> Iterator[Baresip]:
    """An agent that answers at once and echoes."""
    with Baresip(tmp_path, "agent", port=place.agent_port) as running:
        yield running


@pytest.fixture
def talker(place: Stage, tmp_path: Path) -> Iterator[Baresip]:
    """An agent that answers at once and plays a recording without end."""
    says = recording(tmp_path / "says.wav", ENDLESS_FRAMES, TO_CALLER)
    with Baresip(tmp_path, "agent", says=says, port=place.agent_port) as running:
        yield running


def still_talk(caller: Caller, agent: Baresip) -> None:
    """Check audio after a hold: baresip 1.0 then no longer echoes or records, and its events show what arrives."""
    hears_on(caller.audio, TO_CALLER)
    caller.audio.press("5")
    assert agent.event("CALL_DTMF_START")["param"] == "5"


def test_the_caller_is_answered_when_the_agent_answers(place: Stage, tmp_path: Path) -> None:
    with (
        Baresip(tmp_path, "agent", answers=False, port=place.agent_port) as agent,
        place.caller(BARESIP) as caller,
    ):
        agent.event("CALL_INCOMING")
        wait_for(lambda: caller.has(180), "the ringing")
        assert not caller.has(200)
        agent.accept()
        caller.call.answered()
        wait_for(lambda: caller.has(200), "the answer")


def test_audio_arrives_complete_and_in_order_in_both_directions(place: Stage, tmp_path: Path) -> None:
    says = recording(tmp_path / "says.wav", SPOKEN_FRAMES, TO_CALLER)
    with Baresip(tmp_path, "agent", says=says, port=place.agent_port) as agent:
        with place.caller(BARESIP) as caller:
            audio = caller.audio
            audio.say(itertools.islice(Stamps(TO_AGENT), SPOKEN_FRAMES))
            wait_for(lambda: SPOKEN_FRAMES - 1 in numbers(audio.stamps(), TO_CALLER), "the agent's last frame")
            wait_for(lambda: audio.has_said_all, "the caller's last frame")
        agent.event("CALL_CLOSED")
    assert_in_order(numbers(audio.stamps(), TO_CALLER), RUN)
    assert_in_order(numbers(list(find_stamps([(0, agent.heard())])), TO_AGENT), RUN)


@pytest.mark.parametrize("project", [BARESIP, BARESIP_TCP])
def test_the_agents_echo_comes_back_complete_and_in_time(place: Stage, echo: Baresip, project: str) -> None:
    with place.caller(project) as caller:
        assert_whole(echoed(caller.audio))
    assert echo.event("CALL_ESTABLISHED")["direction"] == "incoming"


def test_an_alaw_caller_is_echoed_by_a_mulaw_agent(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP, payload_type=PCMA) as caller:
        assert_whole(echoed(caller.audio, alaw=True))
        assert {packet.payload_type for packet in caller.audio.packets} == {PCMA}
    echo.event("CALL_CLOSED")


def test_dtmf_digits_reach_the_other_side_once_each(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP) as caller:
        caller.audio.press("15#")
        assert [echo.event("CALL_DTMF_START")["param"] for _ in range(3)] == ["1", "5", "#"]
        echo.press("70*")
        wait_for(lambda: caller.audio.keys() == "70*", "the agent's DTMF digits")


def test_audio_goes_on_after_the_agent_held_the_call(place: Stage, talker: Baresip) -> None:
    with place.caller(BARESIP) as caller:
        hears_on(caller.audio, TO_CALLER)
        talker.hold()
        talker.traced("a=recvonly")  # the bridge's answer
        assert caller.call.is_live()
        talker.resume()
        talker.traced("a=sendrecv")  # its offer
        talker.traced("a=sendrecv")  # and the answer
        still_talk(caller, talker)
        talker.hang_up()
        caller.call.record()


def test_audio_goes_on_after_the_caller_held_the_call(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP, "media_hold", pause_seconds=1) as caller:
        assert_whole(echoed(caller.audio))
        wait_for(lambda: len(caller.sipp.received(200)) >= 3, "hold and resume")
        assert_whole(echoed(caller.audio))
    echo.event("CALL_CLOSED")


def test_the_agents_refer_hands_off_and_its_notify_reports_the_outcome(place: Stage, echo: Baresip) -> None:
    grown = place.count()
    with place.caller(BARESIP) as caller:
        caller.call.answered()
        echo.transfer("sip:sales@127.0.0.1")
        echo.traced("SIP/2.0 202")
        echo.traced("NOTIFY sip:")
        echo.traced("Subscription-State: terminated")
        echo.traced("SIP/2.0 202")  # in its body: CXone accepted the Signal, and more is not known
        echo.event("CALL_CLOSED")
    record = caller.call.record()
    assert caller.call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "sales"}]
    assert record["handoff"]["destination"] == "sales"
    assert record["handoff"]["state"] == "handoff_completed"
    grown("sipbridge_handoffs_total", project=BARESIP, method="release", reason="unconfirmed")


def test_a_refer_to_a_target_that_is_not_allowed_is_rejected(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP) as caller:
        assert_whole(echoed(caller.audio))
        echo.transfer("sip:+15550911@192.0.2.1")
        assert echo.event("TRANSFER_FAILED")["param"] == "403 Forbidden"
        # baresip hangs up on its own after the rejection. The caller for whom it asked for a human gets one.
        record = caller.call.record()
    assert (record["handoff"]["requested_by"], record["handoff"]["reason"]) == ("bridge", "invalid_handoff")


def test_the_agent_ends_the_conversation_by_hanging_up(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP) as caller:
        assert_whole(echoed(caller.audio))  # an agent that leaves before it has sent audio is lost
        echo.hang_up()
        record = caller.call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert caller.call.signals() == [{"p1": "End"}]


def test_the_agent_gets_a_bye_when_the_call_is_ended(place: Stage, echo: Baresip) -> None:
    with place.caller(BARESIP) as caller:
        caller.call.hang_up()
        assert echo.event("CALL_CLOSED")["param"] == "Connection reset by peer"
