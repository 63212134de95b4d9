"""The socket of a WebSocket agent: how the call goes on or ends when it is closed, drops or stalls."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack

import pytest

from tests.harness.media.g711 import MULAW_SILENCE
from tests.harness.media.stamp import Stamps
from tests.harness.waiting import wait_for

from .websocket_site import ScriptedAgent, WebsocketSite, assert_handoff_still_works, wait_for_more_audio

SILENCE = MULAW_SILENCE * 160


def test_an_agent_that_closes_its_socket_ends_the_call(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call() as call:
        agent = call.agent()
        agent.send_at_once(SILENCE)
        agent.hang_up()
        call.wait_for_scenario()
        record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert record["result"] == "success"
    assert call.signals() == [{"p1": "End"}]
    assert count.grows_by(1, "sipbridge_calls_total", project="bot", result="success", reason="agent_ended")
    assert count.grows_by(0, "sipbridge_handoffs_total", project="bot")


def test_an_agent_that_closes_its_socket_at_once_has_not_accepted_the_call(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        call.agent().hang_up()
        call.wait_for_scenario()
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]


def test_an_agent_that_sends_no_audio_and_closes_its_socket_soon_has_not_accepted_the_call(
    websocket: WebsocketSite,
) -> None:
    with websocket.call() as call:
        agent = call.agent()
        agent.clear()
        agent.mark("nothing before it")
        agent.hang_up()
        call.wait_for_scenario()
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b'{"event":"handoff","streamSid":"SID","handoff":{"destination":"sales","data":{"score":NaN}}}', 422),
        (b'{"event":"handoff","streamSid":"SID","handoff":{"utterance":"\\ud83d"}}', 422),
        (b'{"event":"handoff","streamSid":"SID","handoff":{"destination":"sales",}}', 422),
        (b'{"event":"handoff","streamSid":"SID","handoff":{"destination":', 422),
        (b'{"event":"handoff","streamSid":"MZ00000000000000000000000000000000","handoff":{}}', 422),
    ],
)
def test_an_agent_that_closes_its_socket_after_a_malformed_handoff_loses_no_caller(
    websocket: WebsocketSite, message: bytes, status: int
) -> None:
    with websocket.call() as call:
        agent, count = call.agent(), websocket.trunk.count()
        agent.send(message.replace(b"SID", agent.stream_sid.encode()))
        assert agent.wait_for_answer()["status"] == status
        agent.hang_up()
        call.wait_for_scenario()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "invalid_handoff")]
    assert count.grows_by(1, "sipbridge_agent_faults_total", type="websocket", fault="bad_handoff")


def test_a_handoff_in_a_binary_message_is_refused_and_loses_no_caller(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent = call.agent()
        agent.send_binary(b'{"event": "handoff", "streamSid": "%s", "handoff": {}}' % agent.stream_sid.encode())
        assert agent.wait_for_answer()["status"] == 422
        agent.hang_up()
        call.wait_for_scenario()
    assert [signal["p3"] for signal in call.signals()] == ["invalid_handoff"]


@pytest.mark.parametrize("event", ["handoff", "Handoff"])
def test_a_handoff_without_a_stream_sid_is_carried_out(websocket: WebsocketSite, event: str) -> None:
    with websocket.call() as call:
        call.agent().send(b'{"event": "%s", "callSid": "CA1", "handoff": {"destination": "sales"}}' % event.encode())
        call.wait_for_scenario()
    assert [signal["p1"] for signal in call.signals()] == ["sales"]


def test_an_agent_that_closes_its_socket_after_a_refused_handoff_loses_no_caller(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent = call.agent()
        agent.hand_off(destination="nowhere")
        agent.hang_up()
        call.wait_for_scenario()
    assert [signal["p3"] for signal in call.signals()] == ["invalid_handoff"]


def test_a_socket_that_drops_is_opened_again_as_a_new_stream(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        first = call.agent()
        count = websocket.trunk.count()
        first.drop()
        agent = call.agent()
        assert agent.stream_sid != first.stream_sid
        assert agent.start["customParameters"] == first.start["customParameters"]
        assert [message["sequenceNumber"] for _, message in agent.events("start")] == ["1"]
        assert count.grows_by(1, "sipbridge_agent_faults_total", type="websocket", fault="reconnected")
        wait_for_more_audio(agent)
        agent.send_frames(itertools.islice(Stamps(1), 10))
        wait_for(lambda: len(call.caller.stamps()) == 10, "the audio of the new stream")
        assert_handoff_still_works(call, agent)


def test_an_agent_that_does_not_come_back_is_lost_after_seven_seconds(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with ExitStack() as life:
        mortal = life.enter_context(ScriptedAgent(websocket.spare_port))
        with websocket.call("fragile", agents=mortal) as call:
            call.agent()
            call.wait_until_answered()
            life.close()
            lost_ns = time.time_ns()
            call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"], handoff["destination"]) == ("agent_lost", "bridge", "care")
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]
    assert 6.9e9 < call.signalled_ns() - lost_ns < 9e9
    assert count.grows_by(1, "sipbridge_handoffs_total", project="fragile", method="release")


def test_an_agent_that_sends_nothing_is_lost(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call("quiet") as call:
        agent = call.agent()
        call.wait_for_scenario()
        agent.wait_for("stop")
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"]) == ("agent_lost", "bridge")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "agent_lost"}]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="quiet", method="release")


def test_an_agent_that_stops_reading_is_connected_to_again(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call() as call:
        call.agent().stop_reading()
        agent = call.agent(20)
        assert count.grows_by(1, "sipbridge_agent_faults_total", type="websocket", fault="not_reading")
        assert count.grows_by(1, "sipbridge_agent_faults_total", type="websocket", fault="reconnected")
        wait_for_more_audio(agent)
        assert_handoff_still_works(call, agent)


def test_an_agent_that_does_not_complete_the_close_handshake_delays_no_handoff(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent = call.agent()
        agent.answers_close = False
        call.project.request(f"calls/{call.wait_until_answered()}/hangup", "POST")
        call.wait_for_scenario()
        assert call.record()["reason"] == "hung_up_by_api"
        wait_for(lambda: agent.is_closed, "the socket to be closed", 5)
