"""The routes of PJSIP's events. PJSUA reuses a slot as soon as it is free."""

from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.thread import CallEvent
from tests.fakes.pjsip import FakeRequest


class Entry:
    """Implements `TableEntry`."""

    def __init__(self, *, holding: bool = False) -> None:
        self.kinds: list[int] = []
        self.holding = holding

    def handle(self, event: CallEvent) -> None:
        self.kinds.append(event.kind)

    def decide_refer(self, request: pj.IncomingRequest) -> None:
        request.refuse(480, "")

    def holds_bye(self, ticket: int) -> bool:
        return self.holding and ticket == 4


def event(kind: int, *, slot: int = -1, number: int = 0) -> CallEvent:
    return CallEvent(kind, slot, number, 0, "", final=True)


def test_an_event_goes_to_the_dialog_in_its_slot() -> None:
    table, one, two = DialogTable(), Entry(), Entry()
    table.add(1, one)
    table.add(2, two)
    table.handle(event(pj.EventDigit, slot=2))
    table.handle(event(pj.EventDigit, slot=3))
    assert (one.kinds, two.kinds) == ([], [pj.EventDigit])


def test_a_slot_that_another_dialog_has_now_is_not_taken_from_it() -> None:
    table, before, now = DialogTable(), Entry(), Entry()
    table.add(1, before)
    table.add(1, now)
    table.remove(1, before)
    table.handle(event(pj.EventDigit, slot=1))
    assert now.kinds == [pj.EventDigit]
    table.remove(1, now)
    table.handle(event(pj.EventDigit, slot=1))
    assert now.kinds == [pj.EventDigit]


@pytest.mark.parametrize("kind", [pj.EventClipDone, pj.EventReferRejected, pj.EventReferEnded])
def test_an_event_with_a_token_goes_to_its_dialog_in_any_slot(kind: int) -> None:
    table, owner, other = DialogTable(), Entry(), Entry()
    table.add(1, other)
    token, revoked = table.issue_token(owner), table.issue_token(owner)
    table.revoke_token(revoked)
    table.handle(event(kind, slot=1, number=token))
    table.handle(event(kind, slot=1, number=revoked))
    assert (owner.kinds, other.kinds) == ([kind], [])


def test_requests_of_the_far_end_go_to_the_dialog_in_their_slot() -> None:
    table = DialogTable()
    table.add(1, Entry(holding=True))
    for slot, sip_status in ((1, 480), (2, 403)):
        request = FakeRequest()
        table.decide_refer(slot, request)
        assert request.status == sip_status
    assert [table.holds_bye(1, 4), table.holds_bye(1, 5), table.holds_bye(2, 4)] == [True, False, False]
