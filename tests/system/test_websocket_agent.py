from __future__ import annotations

import base64
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness.media.g711 import MULAW_SILENCE
from tests.harness.media.stamp import Stamps
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .websocket_site import UNREACHED, ScriptedAgent, ScriptedCall, Talk, WebsocketSite, websocket_site

SILENCE = MULAW_SILENCE * 160
TEN_SECONDS = 500  # frames
# Of an agent that stalls: frames before and after; frames that it catches up with; how long it pauses.
TALK_FRAMES, STALL_FRAMES, PAUSE_FRAMES = 25, 30, 10
STANDING_MS, NEAR_MS = 400, 100


@pytest.fixture(scope="module")
def shared_agents(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[WebsocketSite]:
    with websocket_site(tmp_path_factory.mktemp("websocket"), cxone) as running:
        yield running


@pytest.fixture
def site(shared_agents: WebsocketSite) -> Iterator[WebsocketSite]:
    """The bridge that these tests share; no test may leave a call in progress."""
    yield shared_agents
    shared_agents.trunk.bridge.wait_for_metric(0, "sipbridge_calls_active")


def assert_hands_off_still(call: Talk, agent: ScriptedCall) -> None:
    """Show that the call has gone on, by the event that ends it."""
    call_id = call.answered()
    agent.hand_off(destination="sales", reason="still_there")
    assert agent.wait_for_answer() == {"id": call_id, "state": "handoff_initiated"}
    call.went_as_written()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "still_there"}]


def hears_on(agent: ScriptedCall) -> None:
    """Return once the agent has received more audio of the caller."""
    agent.wait_for("media", len(agent.events("media")) + 5)


# ------------------------------------------------------------ reaching the agent


@pytest.mark.parametrize("kind", UNREACHED)
def test_a_caller_gets_480_if_the_agent_is_not_reached(site: WebsocketSite, kind: str) -> None:
    count = site.trunk.count()
    with site.call(f"{kind}-reject", "agent_caller_unserved") as call:
        call.went_as_written()
        record = call.record()
    assert (record["result"], record["reason"], record["handoff"]) == ("upstream_error", "agent_unavailable", None)
    assert call.signals() == []
    assert count.shows(1, "sipbridge_invites_total", code="480")
    assert count.shows(1, "sipbridge_agent_connects_total", type="websocket", result="upstream_error")


@pytest.mark.parametrize("kind", UNREACHED)
def test_a_caller_is_handed_off_if_the_agent_is_not_reached_and_the_project_says_so(
    site: WebsocketSite, kind: str
) -> None:
    count = site.trunk.count()
    with site.call(f"{kind}-handoff", "release") as call:
        call.went_as_written()
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["destination"], handoff["transfer"]) == ("agent_unavailable", "care", "released")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "agent_unavailable"}]
    assert count.shows(1, "sipbridge_invites_total", code="200")
    assert count.shows(1, "sipbridge_agent_connects_total", type="websocket", result="upstream_error")
    assert count.shows(1, "sipbridge_handoffs_total", project=f"{kind}-handoff", method="release")


def test_the_agent_receives_the_callers_details_and_the_caller_cannot_forge_them(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call("bot", "ws_caller_impostor") as call:
        agent = call.agent()
        agent.hang_up()
        call.went_as_written()
        record = call.record()
    ((_, connected), (_, start)) = agent.events("connected") + agent.events("start")
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert (start["sequenceNumber"], start["streamSid"]) == ("1", agent.stream_sid)
    parameters = agent.start["customParameters"]
    passed = {name: parameters.pop(name) for name in list(parameters) if name.startswith("X-")}
    assert parameters == {
        "call_id": record["id"],
        "client": "acme",
        "project": "bot",
        "contact_id": call.contact.id,
        "main_contact_id": call.contact.main_id,
        "caller": "+15550100",
        "dialled": "+19995550001",
        "tenant": "acme",
    }
    assert (passed["X-Lang"], passed["X-Mood"]) == ("en", "calm")
    assert "X-Auth-Token" not in passed
    assert {**agent.start, "customParameters": {}} == {
        "streamSid": agent.stream_sid,
        "accountSid": agent.start["accountSid"],
        "callSid": f"CA{record['id']}",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    assert count.shows(1, "sipbridge_agent_connects_total", type="websocket", result="success")


def test_the_agent_receives_audio_in_numbered_messages_of_20_ms_and_the_end_of_the_call(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call("bot", "caller_hangs_up", hold_seconds=0.6) as call:
        agent = call.agent()
        call.went_as_written()
        agent.wait_for("stop")
        record = call.record()
    media = [message for _, message in agent.events("media")]
    assert len(media) > 20
    for place, message in enumerate(media):
        assert message["sequenceNumber"] == str(place + 2)
        assert message["streamSid"] == agent.stream_sid
        assert {**message["media"], "payload": ""} == {
            "track": "inbound",
            "chunk": str(place + 1),
            "timestamp": str(20 * place),
            "payload": "",
        }
        assert len(base64.b64decode(message["media"]["payload"])) == 160
    ((_, stop),) = agent.events("stop")
    assert stop["stop"] == {"accountSid": agent.start["accountSid"], "callSid": f"CA{record['id']}"}
    assert stop["sequenceNumber"] == str(len(media) + 2)
    assert (record["ended_by"], record["handoff"]) == ("caller", None)
    assert count.shows(1, "sipbridge_calls_total", project="bot", reason="caller_hung_up")


# ------------------------------------------------------------ faults of the agent

# By the fault that each counts as; SID stands for the stream's own id.
UNUSABLE: dict[str, tuple[bytes, ...]] = {
    "bad_json": (b'{"event": "media", ', b"media", b""),
    "bad_message": (
        b'["media"]',
        b'{"streamSid": "SID"}',
        b'{"event": 7, "streamSid": "SID"}',
        b'{"event": "media", "streamSid": "SID"}',
        b'{"event": "media", "streamSid": "SID", "media": {"payload": 7}}',
        b'{"event": "mark", "streamSid": "SID", "mark": {}}',
    ),
    "bad_base64": (
        b'{"event": "media", "streamSid": "SID", "media": {"payload": "%%%%"}}',
        b'{"event": "media", "streamSid": "SID", "media": {"payload": "fn5+f"}}',
    ),
    "unknown_event": (b'{"event": "dance", "streamSid": "SID"}', b'{"event": "stop", "streamSid": "SID"}'),
    "wrong_stream": (
        b'{"event": "clear"}',
        b'{"event": "clear", "streamSid": "MZ00000000000000000000000000000000"}',
        b'{"event": "clear", "streamSid": ["SID"]}',
    ),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_an_unusable_message_is_counted_and_the_call_goes_on(site: WebsocketSite, fault: str) -> None:
    with site.call() as call:
        agent, count = call.agent(), site.trunk.count()
        for times, message in enumerate(UNUSABLE[fault], 1):
            agent.send(message.replace(b"SID", agent.stream_sid.encode()))
            assert count.shows(times, "sipbridge_agent_faults_total", type="websocket", fault=fault), message
        assert_hands_off_still(call, agent)
        assert call.record()["handoff"]["requested_by"] == "agent"
    assert count.shows(len(UNUSABLE[fault]), "sipbridge_agent_faults_total", type="websocket")


def test_a_binary_message_is_counted_and_the_call_goes_on(site: WebsocketSite) -> None:
    with site.call() as call:
        agent, count = call.agent(), site.trunk.count()
        agent.send_binary(b'{"event": "clear", "streamSid": "%s"}' % agent.stream_sid.encode())
        assert count.shows(1, "sipbridge_agent_faults_total", type="websocket", fault="bad_message")
        assert_hands_off_still(call, agent)


def test_ten_seconds_of_audio_in_one_message_are_played_in_order(site: WebsocketSite) -> None:
    with site.call() as call:
        agent, count = call.agent(), site.trunk.count()
        agent.say_at_once(b"".join(itertools.islice(Stamps(10), TEN_SECONDS)))
        wait_for(lambda: len(call.caller.stamps()) == TEN_SECONDS, "all of it", 15)
        assert [heard.stamp.number for heard in call.caller.stamps()] == list(range(TEN_SECONDS))
        assert count.shows(0, "sipbridge_agent_faults_total", type="websocket")
        assert_hands_off_still(call, agent)


# ------------------------------------------------------------ how the connection ends


def test_an_agent_that_closes_its_socket_ends_the_call(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call() as call:
        agent = call.agent()
        agent.say_at_once(SILENCE)
        agent.hang_up()
        call.went_as_written()
        record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert record["result"] == "success"
    assert call.signals() == [{"p1": "End"}]
    assert count.shows(1, "sipbridge_calls_total", project="bot", result="success", reason="agent_ended")
    assert count.shows(0, "sipbridge_handoffs_total", project="bot")


def test_an_agent_that_closes_its_socket_at_once_has_not_accepted_the_call(site: WebsocketSite) -> None:
    with site.call() as call:
        call.agent().hang_up()
        call.went_as_written()
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]


def test_an_agent_that_sends_no_audio_and_closes_its_socket_soon_has_not_accepted_the_call(site: WebsocketSite) -> None:
    with site.call() as call:
        agent = call.agent()
        agent.clear()
        agent.mark("nothing before it")
        agent.hang_up()
        call.went_as_written()
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
    site: WebsocketSite, message: bytes, status: int
) -> None:
    with site.call() as call:
        agent, count = call.agent(), site.trunk.count()
        agent.send(message.replace(b"SID", agent.stream_sid.encode()))
        assert agent.wait_for_answer()["status"] == status
        agent.hang_up()
        call.went_as_written()
    assert [(signal["p1"], signal["p3"]) for signal in call.signals()] == [("care", "invalid_handoff")]
    assert count.shows(1, "sipbridge_agent_faults_total", type="websocket", fault="bad_handoff")


def test_a_handoff_in_a_binary_message_is_refused_and_loses_no_caller(site: WebsocketSite) -> None:
    with site.call() as call:
        agent = call.agent()
        agent.send_binary(b'{"event": "handoff", "streamSid": "%s", "handoff": {}}' % agent.stream_sid.encode())
        assert agent.wait_for_answer()["status"] == 422
        agent.hang_up()
        call.went_as_written()
    assert [signal["p3"] for signal in call.signals()] == ["invalid_handoff"]


@pytest.mark.parametrize("event", ["handoff", "Handoff"])
def test_a_handoff_without_a_stream_sid_is_carried_out(site: WebsocketSite, event: str) -> None:
    with site.call() as call:
        call.agent().send(b'{"event": "%s", "callSid": "CA1", "handoff": {"destination": "sales"}}' % event.encode())
        call.went_as_written()
    assert [signal["p1"] for signal in call.signals()] == ["sales"]


def test_an_agent_that_closes_its_socket_after_a_refused_handoff_loses_no_caller(site: WebsocketSite) -> None:
    with site.call() as call:
        agent = call.agent()
        agent.hand_off(destination="nowhere")
        agent.hang_up()
        call.went_as_written()
    assert [signal["p3"] for signal in call.signals()] == ["invalid_handoff"]


def test_a_socket_that_drops_is_opened_again_as_a_new_stream(site: WebsocketSite) -> None:
    with site.call() as call:
        first = call.agent()
        count = site.trunk.count()
        first.drop()
        agent = call.agent()
        assert agent.stream_sid != first.stream_sid
        assert agent.start["customParameters"] == first.start["customParameters"]
        assert [message["sequenceNumber"] for _, message in agent.events("start")] == ["1"]
        assert count.shows(1, "sipbridge_agent_faults_total", type="websocket", fault="reconnected")
        hears_on(agent)
        agent.say(itertools.islice(Stamps(1), 10))
        wait_for(lambda: len(call.caller.stamps()) == 10, "the audio of the new stream")
        assert_hands_off_still(call, agent)


def test_an_agent_that_does_not_come_back_is_lost_after_seven_seconds(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with ExitStack() as life:
        mortal = life.enter_context(ScriptedAgent(site.spare_port))
        with site.call("fragile", agents=mortal) as call:
            call.agent()
            call.answered()
            life.close()
            lost_ns = time.time_ns()
            call.went_as_written()
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"], handoff["destination"]) == ("agent_lost", "bridge", "care")
    assert [signal["p3"] for signal in call.signals()] == ["agent_lost"]
    assert 6.9e9 < call.signalled_ns() - lost_ns < 9e9
    assert count.shows(1, "sipbridge_handoffs_total", project="fragile", method="release")


def test_an_agent_that_sends_nothing_is_lost(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call("quiet") as call:
        agent = call.agent()
        call.went_as_written()
        agent.wait_for("stop")
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"]) == ("agent_lost", "bridge")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "agent_lost"}]
    assert count.shows(1, "sipbridge_handoffs_total", project="quiet", method="release")


def test_an_agent_that_stops_reading_is_connected_to_again(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call() as call:
        call.agent().stop_reading()
        agent = call.agent(20)
        assert count.shows(1, "sipbridge_agent_faults_total", type="websocket", fault="not_reading")
        assert count.shows(1, "sipbridge_agent_faults_total", type="websocket", fault="reconnected")
        hears_on(agent)
        assert_hands_off_still(call, agent)


def test_an_agent_that_does_not_complete_the_close_handshake_delays_no_handoff(site: WebsocketSite) -> None:
    with site.call() as call:
        agent = call.agent()
        agent.answers_close = False
        call.project.ask(f"calls/{call.answered()}/hangup", "POST")
        call.went_as_written()
        assert call.record()["reason"] == "hung_up_by_api"
        wait_for(lambda: agent.is_closed, "the socket to be closed", 5)


# ------------------------------------------------------------ DTMF digits


@pytest.mark.parametrize("pressed", ["50", "5#0"])
def test_the_dtmf_digit_for_a_human_hands_off_and_the_agent_receives_the_others(
    site: WebsocketSite, pressed: str
) -> None:
    count = site.trunk.count()
    with site.call("keyed") as call:
        agent = call.agent()
        call.caller.press(pressed)
        call.went_as_written()
        handoff = call.record()["handoff"]
    assert agent.keys() == pressed[:-1]
    assert (handoff["reason"], handoff["requested_by"], handoff["destination"]) == ("dtmf", "dtmf", "care")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "dtmf"}]
    assert count.shows(1, "sipbridge_handoffs_total", project="keyed")


def test_the_dtmf_digit_for_a_human_may_come_by_info(site: WebsocketSite) -> None:
    count = site.trunk.count()
    with site.call("keyed-info", "media_info", hold_seconds=0.2) as call:
        agent = call.agent()
        call.went_as_written()
        assert call.record()["handoff"]["requested_by"] == "dtmf"
    assert agent.keys() == ""
    assert [signal["p3"] for signal in call.signals()] == ["dtmf"]
    assert count.shows(1, "sipbridge_handoffs_total", project="keyed-info")


# ------------------------------------------------------------ in real time


def test_the_playback_delay_of_an_agent_shrinks_while_it_pauses(site: WebsocketSite) -> None:
    stamps, caught_up = Stamps(3), TALK_FRAMES + STALL_FRAMES
    with site.call() as call:
        agent = call.agent()
        agent.say(itertools.islice(stamps, TALK_FRAMES))
        before = statistics.median(delays_ms(call, TALK_FRAMES))
        # It stalls, then sends the missed frames all at once, and goes on in real time.
        agent.say_at_once(b"".join(itertools.islice(stamps, STALL_FRAMES)))
        agent.say(itertools.chain(itertools.islice(stamps, TALK_FRAMES), hesitantly(stamps)))
        late = delays_ms(call, caught_up + TALK_FRAMES)[caught_up:]
        assert statistics.median(late) > STANDING_MS
        wait_for(lambda: max(delays_ms(call)[-3:]) < before + NEAR_MS, "audio that is no longer late")
        numbers = [heard.stamp.number for heard in call.caller.stamps()]
        assert numbers == list(range(len(numbers)))  # no stamped frame is missing
        agent.hang_up()
        call.went_as_written()


def hesitantly(words: Iterator[bytes]) -> Iterator[bytes]:
    """Stamped frames with a pause before each, without end."""
    while True:
        yield from itertools.repeat(SILENCE, PAUSE_FRAMES)
        yield next(words)


def delays_ms(call: Talk, count: int = 1) -> list[float]:
    """Return the delays of the agent's stamped frames, once this many have arrived."""
    wait_for(lambda: len(call.caller.stamps()) >= count, f"{count} frames of the agent")
    return [(heard.at_ns - heard.stamp.sent_ns) / 1e6 for heard in call.caller.stamps()]
