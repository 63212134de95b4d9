"""An agent whose every message is read and written by Pipecat's TwilioFrameSerializer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.harness.media.g711 import MULAW, PCMA, best_match
from tests.harness.media.quality import measure_stream
from tests.harness.media.recordings import sweep
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.media.stamp import Stamps
from tests.harness.programs.pipecat_peer import CLEAR, HAND_OFF, HANG_UP, PLAY, PipecatAgent, Report
from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .conftest import TUNE_SECONDS
from .site import (
    DELAY_P50_MS,
    PIPECAT,
    Caller,
    InteropSite,
    assert_in_order,
    assert_whole,
    frame_numbers,
    interop_site,
    measure_echo,
)

SILENCE = b"\xff" * 160
MS = 1_000_000
CLEAR_MS, SLACK_MS = 40, 160  # the bridge's promise, and the way to the agent and back on a busy machine
SPOKEN_FRAMES, RUN = 150, 75
OF_CALLER = 60_005


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator, pipecat: PipecatAgent) -> Iterator[InteropSite]:
    with interop_site(tmp_path_factory.mktemp("site"), cxone, pipecat.url) as running:
        yield running


@pytest.fixture
def caller(site: InteropSite) -> Iterator[Caller]:
    with site.caller(PIPECAT) as running:
        yield running


def received_codes(audio: RtpStream) -> bytes:
    return b"".join(payload for _, payload in audio.audio)


def started(pipecat: PipecatAgent, caller: Caller) -> Report:
    """Return what Pipecat detected at the start of this call; its later reports belong to this call."""
    while (start := pipecat.report("start"))["parameters"]["contact_id"] != caller.call.contact_id:
        pass
    return start


def test_pipecat_recognises_the_protocol_as_twilio(pipecat: PipecatAgent, caller: Caller) -> None:
    call_id = caller.call.wait_until_answered()
    start = started(pipecat, caller)
    assert start["provider"] == "twilio"
    assert start["call_sid"] == f"CA{call_id}"
    assert start["stream_sid"].startswith("MZ")
    said = {name: start["parameters"][name] for name in ("call_id", "project", "contact_id", "caller")}
    assert said == {
        "call_id": call_id,
        "project": PIPECAT,
        "contact_id": caller.call.contact_id,
        "caller": "+15550100",
    }


@pytest.mark.parametrize("alaw", [False, True], ids=["PCMU", "PCMA"])
def test_its_echo_comes_back_complete_and_in_time(site: InteropSite, pipecat: PipecatAgent, alaw: bool) -> None:  # noqa: FBT001
    with site.caller(PIPECAT, payload_type=PCMA if alaw else 0) as caller:
        started(pipecat, caller)
        assert_whole(measure_echo(caller.audio, alaw=alaw))
    pipecat.report("closed")


def test_its_frames_are_the_callers_bit_for_bit_and_in_time(site: InteropSite, pipecat: PipecatAgent) -> None:
    stamps = Stamps(OF_CALLER)
    with site.caller(PIPECAT) as caller:
        started(pipecat, caller)
        audio = caller.audio
        audio.send_frames(itertools.islice(stamps, SPOKEN_FRAMES))
        wait_for(
            lambda: SPOKEN_FRAMES - 1 in frame_numbers(audio.stamps(), OF_CALLER), "the echo of the caller's last frame"
        )
    received = pipecat.received_audio().stamps()
    assert_in_order(frame_numbers(received, OF_CALLER), RUN)
    assert measure_stream(stamps.sent, received).delay_ms(50) < DELAY_P50_MS / 2


def test_dtmf_digits_reach_it_once_each(pipecat: PipecatAgent, caller: Caller) -> None:
    started(pipecat, caller)
    caller.audio.send_digits("59#")
    assert pipecat.digits(3) == "59#"


def test_its_audio_at_another_rate_plays_to_the_end_and_then_its_mark_returns(
    pipecat: PipecatAgent, caller: Caller
) -> None:
    started(pipecat, caller)
    audio = caller.audio
    audio.send_digits(PLAY)
    pipecat.report("digit")
    mark = pipecat.unhandled("mark")
    received = [MULAW[code] for code in received_codes(audio)]
    # A resampler holds back some milliseconds.
    whole = sweep(TUNE_SECONDS)[:-160]
    found = best_match(whole, received)
    assert found.likeness > 0.98
    last_ns = max(at_ns for at_ns, payload in audio.audio if payload != SILENCE)
    assert abs(mark["at_ns"] - last_ns) < SLACK_MS * MS


def test_an_interruption_silences_it_at_once(pipecat: PipecatAgent, caller: Caller) -> None:
    started(pipecat, caller)
    audio = caller.audio
    audio.send_digits(PLAY)
    pipecat.report("digit")
    enough = len(received_codes(audio)) + 4000
    wait_for(lambda: len(received_codes(audio)) > enough, "half a second of the tune")
    audio.send_digits(CLEAR)
    cleared_ns = pipecat.report("cleared")["at_ns"]
    mark = pipecat.unhandled("mark")
    assert mark["at_ns"] - cleared_ns < (CLEAR_MS + SLACK_MS) * MS
    wait_for(lambda: audio.audio[-1][0] > cleared_ns + 300 * MS, "300 ms more")
    after = [at_ns for at_ns, payload in audio.audio if payload != SILENCE and at_ns > cleared_ns]
    assert max(after, default=0) - cleared_ns < (CLEAR_MS + SLACK_MS) * MS
    # It has fallen silent, and is still connected.
    assert_whole(measure_echo(audio))


def test_it_hands_off_with_a_transport_message(site: InteropSite, pipecat: PipecatAgent) -> None:
    grown = site.count()
    with site.caller(PIPECAT) as caller:
        call_id = caller.call.wait_until_answered()
        started(pipecat, caller)
        caller.audio.send_digits(HAND_OFF)
        answer = pipecat.unhandled("handoff")["message"]["handoff"]
        assert answer == {"id": call_id, "state": "handoff_initiated"}
        pipecat.unhandled("stop")
        pipecat.report("closed")
        record = caller.call.record()
    assert caller.call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "asked_for_human"}]
    assert (record["handoff"]["destination"], record["handoff"]["state"]) == ("sales", "handoff_completed")
    assert record["handoff"]["data"] == {"order": "A-7"}
    grown("sipbridge_handoffs_total", project=PIPECAT, method="release", reason="unconfirmed")


def test_it_ends_the_conversation_by_closing_its_socket(site: InteropSite, pipecat: PipecatAgent) -> None:
    with site.caller(PIPECAT) as caller:
        started(pipecat, caller)
        caller.audio.send_digits(HANG_UP)
        pipecat.report("closed")
        record = caller.call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("agent", "agent_ended", None)
    assert caller.call.signals() == [{"p1": "End"}]


def test_it_receives_the_end_of_the_call(pipecat: PipecatAgent, caller: Caller) -> None:
    caller.call.hang_up()
    started(pipecat, caller)
    pipecat.unhandled("stop")
    assert pipecat.report("closed")["code"] == 1000
