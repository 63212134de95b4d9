"""An agent's `handoff` event: what it may ask for, and when its queued audio plays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.harness.media.g711 import noise
from tests.harness.waiting import wait_for

from .websocket_site import WebsocketSite

INITIATED = "handoff_initiated"
SECOND = 1_000_000_000
PLAY_OUT_SECONDS = 10
FRAME_NS = 20_000_000


# ------------------------------------------------------------ contents of the request


def test_an_agent_may_request_a_handoff_without_details(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call() as call:
        agent, call_id = call.agent(), call.wait_until_answered()
        agent.hand_off()
        assert agent.wait_for_answer() == {"id": call_id, "state": INITIATED}
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
        agent.wait_for("stop")
    assert (handoff["destination"], handoff["reason"], handoff["requested_by"]) == ("care", "care", "agent")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "care"}]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot", method="release")
    assert count.grows_by(1, "sipbridge_signals_total", client="acme", result="success")
    assert count.grows_by(0, "sipbridge_agent_faults_total")


def test_an_agent_gives_destination_reason_and_data_for_the_human_agent(websocket: WebsocketSite) -> None:
    sent = [{"role": "caller", "text": "It is about my bill."}, {"role": "agent", "text": "I see."}]
    with websocket.call() as call:
        agent = call.agent()
        agent.hand_off(
            destination="sales",
            reason="upgrade",
            utterance="One moment, please.",
            parameters={"p2": "own", "p5": {"nested": [1, 2]}, "p9": "nine"},
            data={"order_id": "A-7", "items": [1, 2], "contact_id": "not theirs"},
            transcript=sent,
        )
        assert agent.wait_for_answer()["state"] == INITIATED
        call.wait_for_scenario()
        record, state = call.record(), call.handoff_state()
    signalled = {"p1": "sales", "p2": "own", "p3": "upgrade", "p4": "A-7", "p5": '{"nested":[1,2]}', "p9": "nine"}
    assert call.signals() == [signalled]
    assert record["handoff"]["parameters"] == signalled
    assert [(turn["role"], turn["text"]) for turn in record["transcript"]] == [
        (turn["role"], turn["text"]) for turn in sent
    ]
    assert all(turn["at"] for turn in record["transcript"])
    assert (state["handoff_destination"], state["handoff_reason"], state["utterance"]) == (
        "sales",
        "upgrade",
        "One moment, please.",
    )
    assert (state["order_id"], state["items"], state["contact_id"]) == ("A-7", "[1,2]", call.contact.id)


def test_an_agent_may_give_the_handoff_an_id_of_its_own(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent, call_id = call.agent(), call.wait_until_answered()
        agent.hand_off(shared_id=f"ticket-{call.contact.id}")
        assert agent.wait_for_answer()["id"] == call_id
        call.wait_for_scenario().record()
        answer = call.project.handoff_state(f"ticket-{call.contact.id}")
    assert (answer.status, answer.json()["id"], answer.json()["data"]["contact_id"]) == (200, call_id, call.contact.id)


@pytest.mark.parametrize(
    "wish",
    [
        {"destination": "transfer"},
        {"destination": "sales", "route": "sip:+15550199@127.0.0.1:5080", "sip_headers": {"X-Queue": "sales"}},
    ],
    ids=["destination", "route"],
)
def test_an_agent_may_have_the_caller_transferred(websocket: WebsocketSite, wish: dict[str, object]) -> None:
    count = websocket.trunk.count()
    with websocket.call("bot", "refer_ok") as call:
        agent = call.agent()
        agent.hand_off(**wish)
        assert agent.wait_for_answer()["state"] == INITIATED
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert (handoff["method"], handoff["transfer"], handoff["confirmed"]) == ("refer", "refer_accepted", True)
    (refer,) = call.sipp.received("REFER")
    assert "sip:+15550199@127.0.0.1:5080" in refer.header("Refer-To")
    assert count.grows_by(1, "sipbridge_transfers_total", method="refer", result="success")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot", method="refer", result="success")


# ------------------------------------------------------------ refused requests


# Each with what the refusal must name.
IMPOSSIBLE: tuple[tuple[object, str], ...] = (
    ({"destination": "nowhere"}, "destination"),
    ({"parameters": {"p10": "ten"}}, "p10"),
    ({"parameters": {"p4": "x" * 100_000}}, "p4"),
    ({"data": {"story": "x" * 100_000}}, "data"),
    ({"route": "sip:+15550199@evil.example.net"}, "route"),
    ({"route": "sip:x@127.0.0.1:5080.evil.example.net"}, "route"),
    ({"sip_headers": {"X-Note": "a\r\nEvil: 1"}}, "sip_headers"),
    ({"sip_headers": {f"X-Note-{number}": "x" * 1000 for number in range(50)}}, "sip_headers"),
    ({"no_such_field": 1}, "no_such_field"),
    ([], "handoff"),
    (None, "handoff"),
)


def test_an_impossible_handoff_is_refused_and_the_call_goes_on(websocket: WebsocketSite) -> None:
    with websocket.call() as call:
        agent, call_id = call.agent(), call.wait_until_answered()
        count = websocket.trunk.count()
        for times, (wish, why) in enumerate(IMPOSSIBLE, 1):
            agent.send({"event": "handoff", "streamSid": agent.stream_sid, "handoff": wish})
            refused = agent.wait_for("handoff", times)[-1][1]["handoff"]
            assert refused["status"] == 422
            assert why in refused["error_message"]
            assert "xxxx" not in refused["error_message"]
            assert count.grows_by(times, "sipbridge_agent_faults_total", type="websocket", fault="bad_handoff")
        assert call.wait_until_answered() == call_id  # queued audio
        assert call.signals() == []
        agent.hand_off(reason="then this")
        accepted = agent.wait_for("handoff", len(IMPOSSIBLE) + 1)[-1][1]["handoff"]
        assert accepted == {"id": call_id, "state": INITIATED}
        call.wait_for_scenario().record()
    assert [signal["p3"] for signal in call.signals()] == ["then this"]
    assert count.grows_by(len(IMPOSSIBLE), "sipbridge_agent_faults_total", type="websocket")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")


@pytest.mark.parametrize("first", ["event", "http", "none"])
def test_of_two_simultaneous_requests_one_succeeds_and_the_other_is_refused(
    websocket: WebsocketSite, first: str
) -> None:
    count = websocket.trunk.count()
    with websocket.call() as call:
        agent, call_id = call.agent(), call.wait_until_answered()
        agent.send_at_once(noise(1))  # its queued audio keeps its socket open
        wait_for(lambda: noise(0.1) in call.received_audio(), "its first audio")

        def ask_by_http() -> int:
            return call.project.request(f"calls/{call_id}/handoff", "POST", {"reason": "http"}).status

        if first == "http":
            by_http = ask_by_http()
        agent.hand_off(reason="event")
        if first == "event":
            agent.wait_for_answer()
        if first != "http":
            by_http = ask_by_http()
        by_event = agent.wait_for_answer().get("status", 202)
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert {by_event, by_http} == {202, 409}
    winner = "event" if by_event == 202 else "http"
    assert first in {winner, "none"}
    assert (handoff["reason"], handoff["requested_by"]) == (winner, "agent" if winner == "event" else "api")
    assert [signal["p3"] for signal in call.signals()] == [winner]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="bot")
    assert count.grows_by(0, "sipbridge_agent_faults_total", fault="bad_handoff")


# ------------------------------------------------------------ queued audio


def test_an_agents_queued_audio_plays_before_cxone_is_signalled(websocket: WebsocketSite) -> None:
    sent = noise(2)
    with websocket.call() as call:
        agent = call.agent()
        agent.send_at_once(sent)
        agent.hand_off(reason="last_words")
        assert agent.wait_for_answer()["state"] == INITIATED
        signalled_ns = call.signalled_ns()
        call.wait_for_scenario()
        received, caller = call.received_audio(), call.caller
        begin = received.index(sent)  # all of it, bit for bit
        first_ns, last_ns = (
            next(at_ns for end, at_ns in ends_of(caller.audio) if end > place)
            for place in (begin, begin + len(sent) - 1)
        )
    assert 1.8 * SECOND < last_ns - first_ns < 2.4 * SECOND
    assert last_ns < signalled_ns < last_ns + 2 * SECOND
    assert websocket.stage(call, "play_out")["reason"] == "done"


@pytest.mark.parametrize("hands_off", [True, False])
def test_the_last_words_of_an_agent_that_closes_its_socket_are_played(
    websocket: WebsocketSite, *, hands_off: bool
) -> None:
    sent = noise(2)
    with websocket.call() as call:
        agent = call.agent()
        agent.send_at_once(sent)
        if hands_off:
            agent.hand_off(reason="last_words")
        agent.hang_up()
        call.wait_for_scenario()
        assert sent in call.received_audio()  # all of it, bit for bit
        assert call.record()["ended_by"] == ("bridge" if hands_off else "agent")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "last_words"} if hands_off else {"p1": "End"}]


def test_an_agents_queued_audio_is_cut_off_after_ten_seconds(websocket: WebsocketSite) -> None:
    sent = noise(3 * PLAY_OUT_SECONDS)
    with websocket.call() as call:
        agent = call.agent()
        agent.send_at_once(sent)
        agent.hand_off(reason="long_story")
        signalled_ns = call.signalled_ns()
        call.wait_for_scenario()
        received = call.received_audio()
        begin = received.index(sent[:8000])
        played = sum(
            1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(sent, received[begin:], strict=False))
        )
        last_ns = next(at_ns for end, at_ns in ends_of(call.caller.audio) if end >= begin + played)
    assert PLAY_OUT_SECONDS - 0.5 < played / 8000 < PLAY_OUT_SECONDS + 0.5
    assert last_ns < signalled_ns + FRAME_NS  # the caller's thread stamps a packet after the kernel
    stage = websocket.stage(call, "play_out")
    assert (stage["result"], stage["reason"]) == ("client_error", "cut_off")
    assert PLAY_OUT_SECONDS - 0.5 < stage["seconds"] < PLAY_OUT_SECONDS + 1


def ends_of(audio: list[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
    """Return where each piece of the received audio ends, and when it arrived."""
    end = 0
    for at_ns, piece in audio:
        end += len(piece)
        yield end, at_ns


# ------------------------------------------------------------ requests that do not come from the agent


def test_the_handoff_digit_works_in_a_prompt_which_plays_to_its_end(websocket: WebsocketSite) -> None:
    count = websocket.trunk.count()
    with websocket.call("prompt") as call:
        call.caller.send_digits("50")
        call.wait_for_scenario()
        handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"]) == ("dtmf", "dtmf")
    assert [signal["p3"] for signal in call.signals()] == ["dtmf"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project="prompt")
    assert websocket.stage(call, "play_out")["seconds"] > 0.5
