"""Calls with a WebSocket agent: how it is reached, what it receives, and which of its messages count as faults."""

from __future__ import annotations

import base64
import itertools
import statistics
from collections.abc import Iterator

import pytest

from tests.harness.media.g711 import MULAW_SILENCE
from tests.harness.media.stamp import Stamps
from tests.harness.waiting import wait_for

from .websocket_site import UNREACHED, WebsocketCall, WebsocketSite, assert_handoff_still_works

SILENCE = MULAW_SILENCE * 160
TEN_SECONDS = 500  # frames
# Of an agent that stalls: frames before and after; frames that it catches up with; how long it pauses.
TALK_FRAMES, STALL_FRAMES, PAUSE_FRAMES = 25, 30, 10
STANDING_MS, NEAR_MS = 400, 100


# ------------------------------------------------------------ reaching the agent


@pytest.mark.parametrize("kind", UNREACHED)
def test_a_caller_gets_480_if_the_agent_is_not_reached(websocket: WebsocketSite, kind: str) -> None:
    count = websocket.trunk.count()
    with websocket.call(f"{kind}-reject", "agent_caller_480") as call:
        call.wait_for_scenario()
        record = call.record()
    assert (record["result"], record["reason"], record["handoff"]) == ("upstream_error", "agent_unavailable", None)
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_invites_total", code="480")
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="websocket", result="upstream_error")


@pytest.mark.parametrize("kind", UNREACHED)
def test_a_caller_is_handed_off_if_the_agent_is_not_reached_and_the_project_requires_it(
    websocket: WebsocketSite, kind: str
) -> None:
    count = websocket.trunk.count()
    with websocket.call(f"{kind}-handoff", "release") as call:
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["destination"], handoff["transfer"]) == ("agent_unavailable", "care", "released")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "agent_unavailable"}]
    assert count.grows_by(1, "sipbridge_invites_total", code="200")
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="websocket", result="upstream_error")
    assert count.grows_by(1, "sipbridge_handoffs_total", project=f"{kind}-handoff", method="release")


def test_the_agent_receives_the_callers_details_and_the_caller_cannot_forge_them(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call("bot", "websocket_caller_forged_headers") as call:
        agent = call.agent()
        agent.hang_up()
        call.wait_for_scenario()
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
    assert count.grows_by(1, "sipbridge_agent_connects_total", type="websocket", result="success")


def test_the_agent_receives_audio_in_numbered_messages_of_20_ms_and_the_end_of_the_call(
    websocket: WebsocketSite,
) -> None:
    count = websocket.trunk.count()
    with websocket.call("bot", "caller_hangs_up", hold_seconds=0.6) as call:
        agent = call.agent()
        call.wait_for_scenario()
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
    assert count.grows_by(1, "sipbridge_calls_total", project="bot", reason="caller_hung_up")


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
def test_an_unusable_message_is_counted_and_the_call_goes_on(websocket: WebsocketSite, fault: str) -> None:
    with websocket.call() as call:
        agent, count = call.agent(), websocket.trunk.count()
        for times, message in enumerate(UNUSABLE[fault], 1):
            agent.send(message.replace(b"SID", agent.stream_sid.encode()))
            assert count.grows_by(times, "sipbridge_agent_faults_total", type="websocket", fault=fault), message
        assert_handoff_still_works(call, agent)
        assert call.record()["handoff"]["requested_by"] == "agent"
    assert count.grows_by(len(UNUSABLE[fault]), "sipbridge_agent_faults_total", type="websocket")


def test_a_binary_message_is_counted_and_the_call_goes_on(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent, count = call.agent(), websocket.trunk.count()
        agent.send_binary(b'{"event": "clear", "streamSid": "%s"}' % agent.stream_sid.encode())
        assert count.grows_by(1, "sipbridge_agent_faults_total", type="websocket", fault="bad_message")
        assert_handoff_still_works(call, agent)


def test_ten_seconds_of_audio_in_one_message_are_played_in_order(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent, count = call.agent(), websocket.trunk.count()
        agent.send_at_once(b"".join(itertools.islice(Stamps(10), TEN_SECONDS)))
        wait_for(lambda: len(call.caller.stamps()) == TEN_SECONDS, "all of it", 15)
        assert [frame.stamp.number for frame in call.caller.stamps()] == list(range(TEN_SECONDS))
        assert count.grows_by(0, "sipbridge_agent_faults_total", type="websocket")
        assert_handoff_still_works(call, agent)


# ------------------------------------------------------------ DTMF digits


@pytest.mark.parametrize("pressed", ["50", "5#0"])
def test_the_handoff_digit_hands_off_and_the_agent_receives_the_other_digits(
    websocket: WebsocketSite, pressed: str
) -> None:
    count = websocket.trunk.count()
    with websocket.call("keyed") as call:
        agent = call.agent()
        call.caller.send_digits(pressed)
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert agent.digits() == pressed[:-1]
    assert (handoff["reason"], handoff["requested_by"], handoff["destination"]) == ("dtmf", "dtmf", "care")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "dtmf"}]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="keyed")


def test_the_handoff_digit_may_be_sent_by_info(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call("keyed-info", "media_info", hold_seconds=0.2) as call:
        agent = call.agent()
        call.wait_for_scenario()
        assert call.record()["handoff"]["requested_by"] == "dtmf"
    assert agent.digits() == ""
    assert [signal["p3"] for signal in call.signals()] == ["dtmf"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="keyed-info")


# ------------------------------------------------------------ in real time


def test_the_playback_delay_of_an_agent_shrinks_while_it_pauses(websocket: WebsocketSite) -> None:
    stamps, caught_up = Stamps(3), TALK_FRAMES + STALL_FRAMES
    with websocket.call() as call:
        agent = call.agent()
        agent.send_frames(itertools.islice(stamps, TALK_FRAMES))
        before = statistics.median(delays_ms(call, TALK_FRAMES))
        # It stalls, then sends the missed frames all at once, and goes on in real time.
        agent.send_at_once(b"".join(itertools.islice(stamps, STALL_FRAMES)))
        agent.send_frames(itertools.chain(itertools.islice(stamps, TALK_FRAMES), with_pauses(stamps)))
        late = delays_ms(call, caught_up + TALK_FRAMES)[caught_up:]
        assert statistics.median(late) > STANDING_MS
        wait_for(lambda: max(delays_ms(call)[-3:]) < before + NEAR_MS, "audio that is no longer late")
        numbers = [frame.stamp.number for frame in call.caller.stamps()]
        assert numbers == list(range(len(numbers)))  # no stamped frame is missing
        agent.hang_up()
        call.wait_for_scenario()


def with_pauses(words: Iterator[bytes]) -> Iterator[bytes]:
    """Stamped frames with a pause before each, without end."""
    while True:
        yield from itertools.repeat(SILENCE, PAUSE_FRAMES)
        yield next(words)


def delays_ms(call: WebsocketCall, count: int = 1) -> list[float]:
    """Return the delays of the agent's stamped frames, once this many have arrived."""
    wait_for(lambda: len(call.caller.stamps()) >= count, f"{count} frames of the agent")
    return [(frame.at_ns - frame.stamp.sent_ns) / 1e6 for frame in call.caller.stamps()]
