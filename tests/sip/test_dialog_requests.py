"""The REFER and BYE requests of one dialog, in both directions."""

from __future__ import annotations

import weakref

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.ports.sip import ReferDecision, Referral
from tests.fakes.pjsip import FakeRequest
from tests.sip.dialog_world import HEADERS, SLOT, DialogWorld

REFER = b"REFER sip:bridge SIP/2.0\r\nRefer-To: <sip:desk@example.com>\r\nX-Why: tired\r\n\r\n"


class RecordingReferHandler:
    """Implements `ReferHandler`."""

    def __init__(self, verdict: ReferDecision) -> None:
        self.verdict = verdict
        self.notes: list[str] = []

    def decide(self, referral: Referral) -> ReferDecision:
        assert referral.refer_to == "<sip:desk@example.com>"
        return self.verdict

    def rejected(self, why: str) -> None:
        self.notes.append(f"rejected: {why}")

    def accepted(self, referral: Referral) -> None:
        self.notes.append(f"accepted: {referral.refer_to}")


# -------------------------------------------------------------------- REFER


@pytest.mark.parametrize(
    ("kind", "outcome"), [(pj.EventReferEnded, "refer ended"), (pj.EventReferRejected, "refer rejected")]
)
def test_the_outcome_of_a_refer_reaches_the_listener_once(dialog_world: DialogWorld, kind: int, outcome: str) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.refer("sip:desk@example.com;transport=tcp", HEADERS)
    ((_, slot, number, refer_to, headers),) = dialog_world.pjsip.sent
    assert (slot, refer_to, headers) == (SLOT, "<sip:desk@example.com;transport=tcp>", HEADERS)
    assert isinstance(number, int)
    dialog_world.queue_event(kind, slot=-1, number=number, status=486)
    dialog_world.queue_event(kind, slot=-1, number=number, status=405)
    dialog_world.queue_event(pj.EventEnded)
    assert listener.events == [(outcome, 486), ("ended", ())]


def test_the_late_outcome_of_an_earlier_refer_is_ignored(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.refer("sip:one@example.com", {})
    dialog.refer("sip:two@example.com", {})
    first, second = (sent[2] for sent in dialog_world.pjsip.sent)
    assert isinstance(first, int)
    assert first != second
    dialog_world.queue_event(pj.EventReferEnded, slot=-1, number=first, status=200)
    assert listener.events == []


def test_a_refer_that_cannot_be_sent_is_logged_and_reported_as_such(
    dialog_world: DialogWorld, caplog: pytest.LogCaptureFixture
) -> None:
    dialog, listener = dialog_world.incoming()
    dialog_world.pjsip.failing = {"REFER"}
    dialog.refer("sip:desk@example.com", {})
    dialog_world.queue_event(pj.EventEnded)
    assert listener.events == [("refer not sent",), ("ended", ())]
    [line] = caplog.messages
    assert line.startswith("a REFER was not sent: ")


@pytest.mark.parametrize("by_peer", [True, False])
def test_the_end_of_the_dialog_cuts_a_refer_off(dialog_world: DialogWorld, *, by_peer: bool) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.refer("sip:desk@example.com", {})
    dialog_world.queue_event(pj.EventEnded, status=200, final=by_peer)
    assert listener.events == [("refer cut off", by_peer), ("ended", ())]


def test_a_refer_without_refer_handler_or_dialog_gets_403(dialog_world: DialogWorld) -> None:
    dialog_world.incoming()
    for slot in (SLOT, 99):
        request = FakeRequest(REFER)
        dialog_world.table.decide_refer(slot, request)
        assert request.status == 403


def test_a_refer_that_the_refer_handler_accepts_is_reported_with_its_ticket(dialog_world: DialogWorld) -> None:
    refer_handler = RecordingReferHandler(ReferDecision(202))
    dialog, listener = dialog_world.outgoing(refer_handler)
    request = FakeRequest(REFER, ticket=12)
    dialog_world.table.decide_refer(SLOT, request)
    dialog_world.thread.run_callbacks()
    assert request.status == 0
    assert listener.events == [("referral", 12, "<sip:desk@example.com>", {"X-Why": "tired"})]
    assert refer_handler.notes == ["accepted: <sip:desk@example.com>"]
    dialog.hang_up(200, "", {})
    dialog_world.pjsip.sent.clear()
    dialog.notify(12, 200, "OK")
    assert dialog_world.pjsip.sent == [("NOTIFY", 12, 200, "OK")]
    dialog_world.pjsip.failing = {"NOTIFY"}
    dialog.notify(12, 200, "OK")


def test_a_refer_that_the_refer_handler_rejects_gets_its_status_and_a_warning(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.outgoing(RecordingReferHandler(ReferDecision(404, 'no "desk"')))
    request = FakeRequest(REFER)
    dialog_world.table.decide_refer(SLOT, request)
    assert (request.status, request.headers) == (404, {"Warning": "399 sipbridge \"no 'desk'\""})
    assert listener.events == []


def test_a_dialog_that_has_ended_keeps_neither_listener_nor_refer_handler(dialog_world: DialogWorld) -> None:
    """Both lead to the leg, which refers to the dialog: a cycle would keep the call in memory."""
    handler = RecordingReferHandler(ReferDecision(202))
    dialog, listener = dialog_world.outgoing(handler)
    kept: list[weakref.ref[object]] = [weakref.ref(handler), weakref.ref(listener)]
    dialog.hang_up(200, "", {})
    dialog_world.thread.run_callbacks()
    del handler, listener
    assert [each() for each in kept] == [None, None]


def test_a_refer_that_was_rejected_before_the_decision_is_reported_to_the_refer_handler(
    dialog_world: DialogWorld,
) -> None:
    refer_handler = RecordingReferHandler(ReferDecision(202))
    dialog_world.outgoing(refer_handler)
    dialog_world.queue_event(pj.EventReferUnserved, status=400, text="no Refer-To")
    assert refer_handler.notes == ["rejected: no Refer-To"]


# -------------------------------------------------------------------- BYE


def test_a_bye_that_the_listener_holds_is_passed_on_release(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.incoming()
    assert not dialog_world.table.holds_bye(SLOT, 4)
    listener.holding = True
    assert dialog_world.table.holds_bye(SLOT, 4)
    assert dialog_world.pjsip.sent == []
    assert listener.release is not None
    listener.release()
    assert dialog_world.pjsip.sent == [("pass BYE", 4)]


def test_a_bye_without_dialog_is_not_held(dialog_world: DialogWorld) -> None:
    assert not dialog_world.table.holds_bye(SLOT, 4)
