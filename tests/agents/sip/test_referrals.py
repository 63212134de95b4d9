from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import pytest

from sipbridge.agents.sip.referrals import Referrals
from sipbridge.calls.ports.sip import ReferHandler, Referral
from sipbridge.errors import HandoffConflict, HandoffInvalid
from sipbridge.handoffs.record import HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.agents.sip.support import HANDOFF
from tests.fakes import FakeLeg, FakeLiveCall, Journal
from tests.store.records import make_handoff

SALES = "<sip:sales@127.0.0.1?X-Handoff-Reason=asked>"


@pytest.fixture
async def leg() -> FakeLeg:
    return FakeLeg(Journal(), "agent")


@pytest.fixture
def call() -> FakeLiveCall:
    return FakeLiveCall()


@pytest.fixture
async def referrals(leg: FakeLeg) -> Referrals:
    made = Referrals(HANDOFF)
    made.attach(leg)
    leg.refer_handler = made
    return made


async def _run_pending_callbacks() -> None:
    """Let the event loop run its pending callbacks."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()


async def test_a_valid_refer_hands_off(leg: FakeLeg, call: FakeLiveCall, referrals: Referrals) -> None:
    referrals.begin(call)
    assert leg.far_end_refers(SALES) == 202
    assert call.requests == [(HandoffRequest(destination="sales", reason="asked"), "agent")]
    assert leg.notified == []


@pytest.mark.parametrize(
    ("refer_to", "headers", "refusing", "answer", "faults"),
    [
        ("<sip:elsewhere@evil.example.net>", {}, HandoffInvalid("route is not allowed"), 403, ["refer_refused"]),
        ("<sip:sales@h>", {"X_Handoff_Destination": "nowhere"}, HandoffInvalid("not defined"), 403, ["refer_refused"]),
        ("<sip:sales@h>", {}, HandoffConflict("already handed off"), 491, []),
        ("<sip:sales@h?X-Handoff-P10=1>", {}, None, 400, ["bad_refer"]),
        ("<sip:sales@h>", {"X_Handoff_P4": "x" * 100_000}, None, 400, ["bad_refer"]),
        ("<sip:%ff@h>", {}, None, 400, ["bad_refer"]),
        ("nonsense", {}, None, 400, ["bad_refer"]),
        ("", {}, None, 400, ["bad_refer"]),
    ],
)
async def test_an_invalid_refer_is_rejected_and_reported(
    leg: FakeLeg,
    call: FakeLiveCall,
    referrals: Referrals,
    refer_to: str,
    headers: Mapping[str, str],
    refusing: Exception | None,
    answer: int,
    faults: list[str],
) -> None:
    call.refusing = refusing
    referrals.begin(call)
    assert leg.far_end_refers(refer_to, **headers) == answer
    await _run_pending_callbacks()
    assert call.faults == faults
    assert call.requests == []
    referrals.finish(make_handoff())
    assert leg.notified == []


async def test_a_refer_is_decided_on_the_sip_thread_and_reported_on_the_event_loop(
    call: FakeLiveCall, referrals: Referrals
) -> None:
    referrals.begin(call)
    noted_by: list[int] = []

    def note(fault: str, why: str) -> None:
        assert (fault, bool(why)) == ("bad_refer", True)
        noted_by.append(threading.get_ident())

    call.note_refused_handoff = note  # type: ignore[method-assign]
    answer = await asyncio.to_thread(referrals.decide, Referral("nonsense", {}))
    await _run_pending_callbacks()
    assert answer.sip_status == 400
    assert noted_by == [threading.get_ident()]


async def test_a_refer_may_be_decided_after_the_event_loop_is_closed() -> None:
    async def make() -> Referrals:
        return Referrals(HANDOFF)

    orphan = await asyncio.to_thread(asyncio.run, make())
    assert orphan.decide(Referral("nonsense", {})).sip_status == 400


# ------------------------------------------------------------ before the conversation


async def test_an_early_refer_is_carried_out_when_the_conversation_begins(
    leg: FakeLeg, call: FakeLiveCall, referrals: Referrals
) -> None:
    assert leg.far_end_refers(SALES) == 202
    assert leg.far_end_refers(SALES) == 491
    referrals.begin(call)
    assert call.requests == [(HandoffRequest(destination="sales", reason="asked"), "agent")]
    referrals.finish(make_handoff(state=HandoffState.COMPLETED, confirmed=True))
    assert leg.notified == [(200, "OK")]


@pytest.mark.usefixtures("referrals")
async def test_an_early_refer_must_be_allowed_by_the_project(leg: FakeLeg) -> None:
    assert leg.far_end_refers("<sip:elsewhere@evil.example.net>") == 403
    assert leg.far_end_refers(SALES) == 202


async def test_an_invalid_early_refer_is_reported_when_the_conversation_begins(
    leg: FakeLeg, call: FakeLiveCall, referrals: Referrals
) -> None:
    assert leg.far_end_refers("nonsense") == 400
    await _run_pending_callbacks()
    assert call.faults == []
    referrals.begin(call)
    assert call.faults == ["bad_refer"]


@pytest.mark.parametrize(
    ("refusing", "told", "faults"),
    [
        (HandoffInvalid("route is not allowed"), (403, "Forbidden"), ["refer_refused"]),
        (HandoffConflict("already handed off"), (491, "Request Pending"), []),
    ],
)
async def test_an_early_refer_that_fails_gets_its_notify(
    leg: FakeLeg,
    call: FakeLiveCall,
    referrals: Referrals,
    refusing: Exception,
    told: tuple[int, str],
    faults: list[str],
) -> None:
    assert leg.far_end_refers(SALES) == 202
    call.refusing = refusing
    referrals.begin(call)
    assert leg.notified == [told]
    assert call.faults == faults
    referrals.finish(make_handoff())
    assert leg.notified == [told]


async def test_a_second_refer_is_rejected_before_the_event_loop_has_the_first(
    leg: FakeLeg, call: FakeLiveCall, referrals: Referrals
) -> None:
    referrals.begin(call)
    assert referrals.decide(Referral(SALES, {})).sip_status == 202
    assert referrals.decide(Referral(SALES, {})).sip_status == 491
    referrals.accepted(Referral(SALES, {}))
    assert len(call.requests) == 1
    referrals.finish(make_handoff(state=HandoffState.COMPLETED, confirmed=True))
    assert leg.notified == [(200, "OK")]


async def test_another_refer_may_follow_a_failed_one(leg: FakeLeg, call: FakeLiveCall, referrals: Referrals) -> None:
    assert leg.far_end_refers(SALES) == 202
    call.refusing = HandoffInvalid("the transcript is too long")
    referrals.begin(call)
    call.refusing = None
    assert leg.far_end_refers(SALES) == 202
    assert call.requests == [(HandoffRequest(destination="sales", reason="asked"), "agent")]


async def test_a_refer_gets_487_if_the_caller_has_hung_up(leg: FakeLeg, referrals: Referrals) -> None:
    assert leg.far_end_refers(SALES) == 202
    referrals.finish(None)
    referrals.finish(None)
    assert leg.notified == [(487, "Request Terminated")]


# ------------------------------------------------------------ the outcome of a handoff


async def test_a_refer_gets_491_if_another_request_was_first(
    leg: FakeLeg, call: FakeLiveCall, referrals: Referrals
) -> None:
    referrals.begin(call)
    assert referrals.decide(Referral(SALES, {})).sip_status == 202
    call.refusing = HandoffConflict("the API was quicker")
    referrals.accepted(Referral(SALES, {}))
    referrals.finish(make_handoff())
    assert leg.notified == [(491, "Request Pending")]


@pytest.mark.parametrize(
    ("handoff", "told"),
    [
        ({"state": HandoffState.COMPLETED, "confirmed": True}, (200, "OK")),
        ({"state": HandoffState.COMPLETED, "confirmed": False}, (202, "Accepted")),
        ({"state": HandoffState.FAILED, "transfer": "caller_hung_up"}, (487, "Request Terminated")),
        ({"state": HandoffState.FAILED, "transfer": "refer_refused, released"}, (503, "Service Unavailable")),
        ({"state": HandoffState.INITIATED}, (503, "Service Unavailable")),
    ],
)
async def test_the_agent_is_notified_of_the_outcome_once(
    leg: FakeLeg, call: FakeLiveCall, referrals: Referrals, handoff: dict[str, object], told: tuple[int, str]
) -> None:
    referrals.begin(call)
    assert leg.far_end_refers(SALES) == 202
    record = make_handoff().model_copy(update={"transfer": "", "confirmed": None, **handoff})
    referrals.finish(record)
    referrals.finish(record)
    assert leg.notified == [told]


async def test_without_a_refer_no_notify_is_sent(leg: FakeLeg, call: FakeLiveCall, referrals: Referrals) -> None:
    referrals.begin(call)
    referrals.finish(make_handoff())
    assert leg.notified == []


def _implements(referrals: Referrals) -> ReferHandler:
    return referrals
