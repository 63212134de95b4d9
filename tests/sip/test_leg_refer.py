"""REFER of a leg, both ways."""

from __future__ import annotations

import asyncio

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.ports.sip import ReferDecision, ReferOutcome, Referral, ReferResult
from sipbridge.errors import LegEnded
from sipbridge.sip.dialog import Dialog
from sipbridge.sip.leg import SipLeg
from tests.fakes.pjsip import FakeRequest
from tests.sip.leg_stack import SLOT, Stack


@pytest.mark.parametrize(
    ("kind", "status", "result"),
    [
        (pj.EventReferEnded, 200, ReferResult.ACCEPTED),
        (pj.EventReferEnded, 486, ReferResult.FAILED),
        (pj.EventReferEnded, 0, ReferResult.NO_NOTIFY),
        (pj.EventReferRejected, 405, ReferResult.REFUSED),
    ],
)
async def test_the_far_end_reports_the_outcome_of_a_refer(
    stack: Stack, kind: int, status: int, result: ReferResult
) -> None:
    leg = await stack.incoming()
    referring = asyncio.ensure_future(leg.refer("sip:desk@example.com", {"X-Id": "1"}, 5))
    await stack.settle()
    ((_, slot, number, refer_to, headers),) = stack.pjsip.sent
    assert (slot, refer_to, headers) == (SLOT, "<sip:desk@example.com>", {"X-Id": "1"})
    assert isinstance(number, int)
    stack.pjsip.queue_event(kind, number=number, status=status)
    assert await referring == ReferOutcome(result, status)


async def test_the_success_of_a_refer_ends_the_leg_in_the_same_turn_if_requested(stack: Stack) -> None:
    leg = await stack.incoming()
    referring = asyncio.ensure_future(leg.refer("sip:desk@example.com", {}, 5, then_bye=True))
    await stack.settle()
    ((_, _, number, _, _),) = stack.pjsip.sent
    assert isinstance(number, int)
    stack.pjsip.queue_event(pj.EventReferEnded, number=number, status=200)
    assert await referring == ReferOutcome(ReferResult.ACCEPTED, 200)
    assert stack.pjsip.sent[1:] == [("end", SLOT, 200, "", {})]
    assert not leg.ended.result().by_peer


@pytest.mark.parametrize(("status", "then_bye"), [(200, False), (486, True), (0, True)])
async def test_any_other_end_of_a_refer_leaves_the_leg_as_it_is(stack: Stack, status: int, *, then_bye: bool) -> None:
    leg = await stack.incoming()
    referring = asyncio.ensure_future(leg.refer("sip:desk@example.com", {}, 5, then_bye=then_bye))
    await stack.settle()
    ((_, _, number, _, _),) = stack.pjsip.sent
    assert isinstance(number, int)
    stack.pjsip.queue_event(pj.EventReferEnded, number=number, status=status)
    await referring
    await stack.settle()
    assert len(stack.pjsip.sent) == 1
    assert not leg.ended.done()


async def test_a_bye_right_after_the_success_of_a_refer_gets_none_of_ours(stack: Stack) -> None:
    leg = await stack.incoming()
    referring = asyncio.ensure_future(leg.refer("sip:desk@example.com", {}, 5, then_bye=True))
    await stack.settle()
    ((_, _, number, _, _),) = stack.pjsip.sent
    assert isinstance(number, int)

    def both() -> None:
        stack.pjsip.queue_event(pj.EventReferEnded, number=number, status=200)
        stack.end()

    stack.pjsip.on_poll(both)
    assert await referring == ReferOutcome(ReferResult.ACCEPTED, 200)
    await stack.settle()
    # The slot of the leg may have another call by then.
    assert len(stack.pjsip.sent) == 1
    assert leg.ended.result().by_peer


async def test_a_bye_before_the_notify_and_silence_are_outcomes_too(stack: Stack) -> None:
    leg = await stack.incoming()
    assert await leg.refer("sip:desk@example.com", {}, 0.01) == ReferOutcome(ReferResult.NO_NOTIFY, 0)
    referring = asyncio.ensure_future(leg.refer("sip:desk@example.com", {}, 5))
    await stack.settle()
    stack.end()
    assert await referring == ReferOutcome(ReferResult.PEER_HUNG_UP, 0)


@pytest.mark.parametrize("seen", [True, False])
async def test_a_refer_after_the_end_of_the_leg_is_reported_as_not_sent(stack: Stack, *, seen: bool) -> None:
    leg = await stack.incoming()
    stack.end()
    if seen:
        await leg.ended
    with pytest.raises(LegEnded, match="not sent"):
        await leg.refer("sip:desk@example.com", {}, 5)
    await stack.settle()
    assert stack.pjsip.sent == []


async def test_a_refer_that_pjsip_refuses_is_reported_as_not_sent(stack: Stack) -> None:
    leg = await stack.incoming()
    stack.pjsip.failing = {"REFER"}
    with pytest.raises(LegEnded, match="not sent"):
        await leg.refer("sip:desk@example.com", {}, 5)
    assert not leg.ended.done()


async def test_a_refer_of_the_far_end_gets_its_notify(stack: Stack) -> None:
    class Handler:
        accepted_referrals: list[Referral]

        def decide(self, referral: Referral) -> ReferDecision:
            return ReferDecision(202 if referral.refer_to else 400)

        def rejected(self, why: str) -> None:
            raise AssertionError(why)

        def accepted(self, referral: Referral) -> None:
            leg.notify(200, "OK")
            assert referral.refer_to == "<sip:desk@example.com>"

    dialog = Dialog(stack.context, Handler())
    leg = SipLeg(stack.loop, stack.thread, dialog, stack.pump)
    await stack.thread.run(lambda: dialog.adopt(SLOT, leg))
    request = FakeRequest(b"REFER sip:bridge SIP/2.0\r\nRefer-To: <sip:desk@example.com>\r\n\r\n", ticket=12)
    await stack.thread.run(lambda: stack.table.decide_refer(SLOT, request))
    await stack.settle()
    assert stack.pjsip.sent == [("NOTIFY", 12, 200, "OK")]
