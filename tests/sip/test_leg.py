"""A leg on the event loop, and its dialog on a real SIP thread, which polls a fake of PJSIP."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports.sip import Leg
from sipbridge.errors import DialFailed, LegEnded
from sipbridge.sip import leg as module
from sipbridge.sip.dialog_listener import DialogListener
from sipbridge.sip.leg import MAX_EARLY_DIGITS, SipLeg
from tests.fakes import FakeLeg, Journal
from tests.sip.leg_stack import SLOT, Stack


async def test_answering_returns_the_seconds_from_invite_to_200(stack: Stack) -> None:
    leg = await stack.incoming()
    leg.began = time.monotonic() - 3
    answering = asyncio.ensure_future(leg.answer({"X-Id": "1"}))
    await stack.settle()
    assert not answering.done()
    stack.pjsip.queue_event(pj.EventConfirmed, SLOT)
    assert await answering == pytest.approx(3, abs=0.5)
    assert stack.pjsip.sent == [("response", SLOT, 200, {"X-Id": "1"})]


async def test_ringing_and_early_media_are_180_and_183(stack: Stack) -> None:
    leg = await stack.incoming()
    await leg.ring()
    await leg.send_early_media()
    assert [sent[2] for sent in stack.pjsip.sent] == [180, 183]


async def test_an_ack_counts_even_if_a_bye_follows_at_once(stack: Stack) -> None:
    leg = await stack.incoming()
    answering = asyncio.ensure_future(leg.answer({}))
    await stack.settle()
    stack.pjsip.queue_event(pj.EventConfirmed, SLOT)
    stack.end()
    await answering
    assert (await leg.ended).by_peer


async def test_a_caller_who_hangs_up_before_the_ack_ends_the_leg(stack: Stack) -> None:
    leg = await stack.incoming()
    answering = asyncio.ensure_future(leg.answer({}))
    await stack.settle()
    stack.end(status=487)
    with pytest.raises(LegEnded, match="the leg has ended"):
        await answering


async def test_hanging_up_returns_when_the_dialog_is_over(stack: Stack) -> None:
    leg = await stack.incoming()
    await leg.hang_up(486, {"X-Id": "1"}, "Busy")
    assert leg.ended.result().sip_status == 486
    await leg.hang_up()
    await stack.settle()
    assert stack.pjsip.sent == [("end", SLOT, 486, "Busy", {"X-Id": "1"})]


async def test_commands_of_a_leg_that_has_ended_raise(stack: Stack) -> None:
    leg, other = await stack.incoming(), await stack.incoming(slot=8)
    stack.end()
    await leg.ended
    commands: list[Callable[[], object]] = [
        leg.ring,
        leg.send_early_media,
        leg.packets_received,
        leg.wait_for_silence,
        lambda: leg.answer({}),
        lambda: leg.play("hello"),
        lambda: leg.join(other),
        lambda: other.join(leg),
        lambda: leg.open_audio(lambda _audio, _played: None),
    ]
    for command in commands:
        awaitable = command()
        assert asyncio.iscoroutine(awaitable)
        with pytest.raises(LegEnded, match="the leg has ended"):
            await awaitable
    await leg.part()
    leg.send_digit("1")
    await stack.settle()
    assert stack.pjsip.sent == []
    assert stack.pjsip.streams == {}


# -------------------------------------------------------------------- outgoing legs


async def test_an_outgoing_leg_is_answered_by_the_2xx(stack: Stack) -> None:
    leg = await stack.outgoing()
    for kind in (pj.EventTrying, pj.EventMedia, pj.EventConfirmed):
        stack.pjsip.queue_event(kind, SLOT)
    await asyncio.gather(leg.responded, leg.early, leg.answered)


@pytest.mark.parametrize(
    ("status", "text", "by_peer", "message"),
    [
        (486, "", True, "not answered: 486"),
        (503, "Connection refused", False, "no connection to tcp://192.0.2.1:5060: connection refused"),
        (408, "Request Timeout", False, f"{LegFailure.REQUEST_FAILED}: 408"),
    ],
)
async def test_an_outgoing_leg_that_is_not_answered_reports_the_reason(
    stack: Stack,
    status: int,
    text: str,
    by_peer: bool,  # noqa: FBT001 (a case)
    message: str,
) -> None:
    leg = await stack.outgoing()
    stack.end(status=status, text=text, by_peer=by_peer)
    with pytest.raises(DialFailed) as raised:
        await leg.answered
    assert (str(raised.value), raised.value.sip_status) == (message, status)


async def test_a_redirected_leg_has_the_contacts_and_the_target_that_sent_them(stack: Stack) -> None:
    leg = await stack.outgoing()
    stack.end(status=302, text="Contact: <sip:other@example.com>\r\n")
    with pytest.raises(DialFailed) as raised:
        await leg.answered
    assert raised.value.contacts == ("sip:other@example.com",)
    assert raised.value.target == "tcp://192.0.2.1:5060"


# -------------------------------------------------------------------- audio


async def test_playing_returns_when_the_last_sample_has_been_sent(stack: Stack) -> None:
    leg = await stack.incoming()
    playing = asyncio.ensure_future(leg.play("hello"))
    await stack.settle()
    assert not playing.done()
    stack.pjsip.queue_event(pj.EventClipDone, number=stack.pjsip.ports[0].token)
    await playing


async def test_a_cancelled_wait_stops_the_clip(stack: Stack) -> None:
    leg = await stack.incoming()
    playing = asyncio.ensure_future(leg.play("hello"))
    await stack.settle()
    playing.cancel()
    with suppress(asyncio.CancelledError):
        await playing
    await stack.settle()
    stack.pjsip.audio = {SLOT: 11}
    stack.pjsip.queue_event(pj.EventMedia, SLOT)
    await stack.settle()
    assert stack.pjsip.connected == set()


async def test_joined_legs_exchange_audio_until_they_are_separated(stack: Stack) -> None:
    leg, other = await stack.incoming(), await stack.incoming(slot=8)
    stack.pjsip.audio = {SLOT: 11, 8: 12}
    await leg.join(other)
    assert stack.pjsip.connected == {(11, 12), (12, 11)}
    await other.part()
    assert stack.pjsip.connected == set()
    foreign: Leg = FakeLeg(Journal())
    with pytest.raises(TypeError, match="another SIP leg"):
        await leg.join(foreign)


async def test_an_audio_stream_is_closed_with_its_leg(stack: Stack) -> None:
    leg = await stack.incoming()
    stack.pjsip.audio = {SLOT: 11}
    audio = await leg.open_audio(lambda _audio, _played: None)
    assert list(stack.pjsip.direct) == [SLOT]
    assert audio.write(b"abc") == 3
    stack.end()
    await leg.ended
    assert stack.pjsip.streams == {}
    assert stack.pjsip.direct == {}
    assert audio.write(b"de") == 5, "counted, and discarded"


async def test_a_far_end_that_sends_audio_is_not_silent(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.1)
    leg = await stack.incoming()
    stack.pjsip.audio, stack.pjsip.levels = {SLOT: 11}, {11: module.AUDIBLE}
    waiting = asyncio.ensure_future(leg.wait_for_silence())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    stack.pjsip.levels = {11: module.AUDIBLE - 1}
    await waiting


async def test_packets_are_none_while_none_are_due(stack: Stack) -> None:
    leg = await stack.incoming()
    assert await leg.packets_received() is None
    stack.pjsip.packets = 12
    assert await leg.packets_received() == 12


# -------------------------------------------------------------------- DTMF, BYE


async def test_digits_are_sent_and_received(stack: Stack) -> None:
    leg = await stack.incoming()
    pressed: list[str] = []
    stack.pjsip.queue_event(pj.EventDigit, SLOT, ord("1"))
    await stack.settle()
    leg.on_digit(pressed.append)
    stack.pjsip.queue_event(pj.EventDigit, SLOT, ord("2"))
    leg.send_digit("#")
    await stack.settle()
    assert pressed == ["1", "2"], "those before the listener, too: a caller may press one with the ACK"
    assert stack.pjsip.sent == [("digit", SLOT, "#")]


async def test_a_flood_of_digits_before_the_listener_is_limited(stack: Stack) -> None:
    leg = await stack.incoming()
    pressed: list[str] = []
    for _ in range(10 * MAX_EARLY_DIGITS):
        leg.dtmf_digit_received("0")
    leg.on_digit(pressed.append)
    assert len(pressed) == MAX_EARLY_DIGITS


async def test_a_bye_is_held_until_its_listener_has_recorded_it(stack: Stack) -> None:
    leg = await stack.incoming()
    assert not await stack.thread.run(lambda: stack.table.holds_bye(SLOT, 4))
    released: list[Callable[[], None]] = []

    def note(release: Callable[[], None]) -> bool:
        released.append(release)
        return True

    leg.before_bye(note)
    assert await stack.thread.run(lambda: stack.table.holds_bye(SLOT, 4))
    released[0]()
    await stack.settle()
    assert stack.pjsip.sent == [("pass BYE", 4)]


async def test_a_leg_that_has_ended_keeps_no_listener(stack: Stack) -> None:
    leg = await stack.incoming()
    pressed: list[str] = []
    leg.on_digit(pressed.append)
    leg.before_bye(lambda _: True)
    stack.end()
    end: LegEnd = await leg.ended
    leg.on_digit(pressed.append)
    leg.dtmf_digit_received("1")
    assert (pressed, leg.holds_bye(lambda: None), end.by_peer) == ([], False, True)


async def test_a_leg_that_has_ended_is_freed_without_the_garbage_collector(stack: Stack) -> None:
    """It runs seldom, and audio waits while it does."""
    gc.collect()
    gc.disable()
    try:
        leg = await stack.incoming()
        stack.pjsip.audio = {SLOT: 11}
        await leg.open_audio(lambda _audio, _played: None)
        freed = weakref.ref(leg)
        stack.end()
        await leg.ended
        del leg
        await stack.settle()
        assert freed() is None
    finally:
        gc.enable()


def _implements(leg: SipLeg) -> tuple[Leg, DialogListener]:
    return leg, leg
