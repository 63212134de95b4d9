"""The commands and events of one dialog. The SIP thread is one that collects what it would run on the event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports import ReferDecision, ReferHandler, Referral
from sipbridge.errors import LegEnded
from sipbridge.sip.dialog import Dialog, DialogContext
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.outgoing_invite import OutgoingInvite
from sipbridge.sip.thread import CallEvent, SipThread
from tests.fakes.pjsip import FakePjsip, FakeRequest

SLOT = 7
HEADERS = {"X-Id": "1"}
INVITE = OutgoingInvite(
    account=2,
    uri="sip:agent@example.com",
    target="tcp://192.0.2.1:5060",
    sources=["192.0.2.1", "198.51.100.0/24"],
    local_uri="<sip:caller@example.com>",
    headers=HEADERS,
    username="user",
    password="word",
)
REFER = b"REFER sip:bridge SIP/2.0\r\nRefer-To: <sip:desk@example.com>\r\nX-Why: tired\r\n\r\n"
BYE = "BYE sip:bridge SIP/2.0\r\nX-Reason: done\r\n\r\n"


class Listener:
    """Implements `DialogListener`; notes what it is notified of."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.end: LegEnd | None = None
        self.holding = False
        self.release: Callable[[], None] | None = None

    def response_received(self) -> None:
        self.events.append(("response",))

    def media_negotiated(self) -> None:
        self.events.append(("media",))

    def confirmed(self, answered_at: float) -> None:
        self.events.append(("confirmed", answered_at > 0))

    def dtmf_digit_received(self, digit: str) -> None:
        self.events.append(("digit", digit))

    def clip_finished(self) -> None:
        self.events.append(("clip",))

    def refer_rejected(self, sip_status: int) -> None:
        self.events.append(("refer rejected", sip_status))

    def refer_ended(self, sip_status: int) -> None:
        self.events.append(("refer ended", sip_status))

    def referral_accepted(self, ticket: int, refer_handler: ReferHandler, referral: Referral) -> None:
        self.events.append(("referral", ticket, referral.refer_to, dict(referral.headers)))
        refer_handler.accepted(referral)

    def dialog_ended(self, end: LegEnd, contacts: tuple[str, ...]) -> None:
        assert self.end is None, "a dialog ends once"
        self.end = end
        self.events.append(("ended", contacts))

    def holds_bye(self, release: Callable[[], None]) -> bool:
        self.release = release
        return self.holding


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


class World:
    """A table of dialogs and a SIP thread that is not started: the test is on it."""

    def __init__(self, pjsip: FakePjsip) -> None:
        self.pjsip = pjsip
        self.table = DialogTable()
        self.thread = RecordingThread(pjsip)
        clips = {"hello": pj.Clip(b"\0\0")}
        self.context = DialogContext(self.thread, self.table, clips, pjsip)

    def incoming(self, slot: int = SLOT) -> tuple[Dialog, Listener]:
        dialog, listener = Dialog(self.context), Listener()
        dialog.adopt(slot, listener)
        return dialog, listener

    def outgoing(self, refer_handler: ReferHandler | None = None) -> tuple[Dialog, Listener]:
        dialog, listener = Dialog(self.context, refer_handler), Listener()
        dialog.dial(INVITE, listener)
        self.pjsip.sent.clear()
        return dialog, listener

    def queue_event(
        self, kind: int, slot: int = SLOT, number: int = 0, status: int = 0, text: str = "", *, final: bool = True
    ) -> None:
        self.table.handle(CallEvent(kind, slot, number, status, text, final))
        self.thread.run_callbacks()


class RecordingThread(SipThread):
    """Collects what the event loop and the SIP thread would run."""

    def __init__(self, pjsip: FakePjsip) -> None:
        super().__init__(asyncio.new_event_loop(), lambda _: None, pjsip)
        self._loop.close()
        self.notified: list[Callable[[], None]] = []

    def notify_loop(self, callback: Callable[[], None]) -> None:
        self.notified.append(callback)

    def post(self, command: Callable[[], None]) -> None:
        command()

    def run_callbacks(self) -> None:
        callbacks, self.notified = self.notified, []
        for callback in callbacks:
            callback()


@pytest.fixture
def world(pjsip: FakePjsip) -> Iterator[World]:
    world = World(pjsip)
    yield world
    world.thread.run_callbacks()


def test_dialling_sends_an_invite(world: World) -> None:
    Dialog(world.context).dial(INVITE, Listener())
    assert world.pjsip.sent == [
        (
            "INVITE",
            2,
            "sip:agent@example.com",
            "tcp://192.0.2.1:5060",
            ["192.0.2.1", "198.51.100.0/24"],
            "<sip:caller@example.com>",
            HEADERS,
            "user",
            "word",
        )
    ]


def test_an_invite_that_cannot_be_sent_leaves_no_dialog(world: World) -> None:
    dialog, listener = Dialog(world.context), Listener()
    world.pjsip.failing = {"INVITE"}
    with pytest.raises(LegEnded, match=r"could not be sent: no address of sip\.listen can send to it"):
        dialog.dial(INVITE, listener)
    dialog.hang_up(487, "", {})
    world.queue_event(pj.EventTrying)
    assert (world.pjsip.sent, listener.events) == ([], [])


def test_answering_sends_200_and_the_ack_confirms_it(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.progress(180)
    dialog.answer(HEADERS)
    assert world.pjsip.sent == [("response", SLOT, 180, {}), ("response", SLOT, 200, HEADERS)]
    world.queue_event(pj.EventAnswered)
    world.queue_event(pj.EventConfirmed)
    assert listener.events == [("confirmed", True)]


def test_a_200_that_cannot_be_sent_ends_the_dialog(world: World) -> None:
    dialog, listener = world.incoming()
    world.pjsip.failing = {"response"}
    dialog.answer({})
    world.thread.run_callbacks()
    assert world.pjsip.sent == [("end", SLOT, 500, "", {})]
    assert listener.end is not None
    assert (listener.end.by_peer, listener.end.sip_status, listener.end.failure) == (False, 500, None)


def test_a_provisional_response_that_cannot_be_sent_is_an_error(world: World) -> None:
    dialog, _ = world.incoming()
    world.pjsip.failing = {"response"}
    with pytest.raises(LegEnded, match="the request could not be sent"):
        dialog.progress(180)


@pytest.mark.parametrize(("failing", "sip_status"), [(False, 486), (True, 500)])
def test_hanging_up_ends_the_dialog_at_once(world: World, failing: bool, sip_status: int) -> None:  # noqa: FBT001 (a case)
    dialog, listener = world.incoming()
    world.pjsip.failing = {"end"} if failing else set()
    dialog.hang_up(486, "Busy", HEADERS)
    assert world.pjsip.sent == ([] if failing else [("end", SLOT, 486, "Busy", HEADERS)])
    world.thread.run_callbacks()
    assert listener.end is not None
    assert (listener.end.by_peer, listener.end.sip_status) == (False, sip_status)


def test_commands_after_the_end_send_nothing(world: World) -> None:
    dialog, listener = world.incoming()
    other, _ = world.incoming(slot=9)
    world.queue_event(pj.EventEnded, status=200, text=BYE)
    world.pjsip.audio = {SLOT: 11}
    for command in (
        lambda: dialog.progress(180),
        dialog.packets_received,
        dialog.level,
        lambda: dialog.play("hello"),
        lambda: dialog.join(other),
        lambda: other.join(dialog),
        lambda: dialog.open_stream(1),
    ):
        with pytest.raises(LegEnded, match="the leg has ended"):
            command()
    dialog.answer({})
    dialog.hang_up(200, "", {})
    dialog.refer("sip:desk@example.com", {})
    dialog.send_dtmf_digit("1")
    dialog.part()
    dialog.stop_playing()
    dialog.close_stream()
    assert (world.pjsip.sent, world.pjsip.connected, world.pjsip.ports) == ([], set(), [])
    assert len(listener.events) == 1


def test_events_after_hanging_up_are_ignored(world: World) -> None:
    dialog, listener = world.outgoing()
    dialog.hang_up(487, "", {})
    world.thread.run_callbacks()
    for kind in (pj.EventTrying, pj.EventMedia, pj.EventConfirmed, pj.EventDigit, pj.EventEnded):
        world.queue_event(kind, status=487)
    assert listener.events == [("ended", ())]


def test_a_slot_that_another_call_has_now_stays_with_it(world: World) -> None:
    first, first_listener = world.incoming()
    _, second = world.incoming()  # before the end of the first was handled
    first.hang_up(200, "", {})
    world.queue_event(pj.EventDigit, number=ord("5"))
    assert first_listener.events == [("ended", ())]
    assert second.events == [("digit", "5")]


def test_a_bye_ends_the_dialog_and_reports_its_headers_and_audio(world: World) -> None:
    _, listener = world.incoming()
    world.queue_event(pj.EventAnswered)
    world.queue_event(pj.EventConfirmed)
    world.queue_event(pj.EventEnded, number=pj.AudioHeard | pj.AudioDue, status=200, text=BYE)
    end = listener.end
    assert end is not None
    assert (end.by_peer, end.sip_status, dict(end.headers)) == (True, 200, {"X-Reason": "done"})
    assert (end.answered, end.heard, end.audio_due, end.failure) == (True, True, True, None)


def test_a_redirection_ends_the_dialog_with_its_contacts(world: World) -> None:
    _, listener = world.outgoing()
    text = "Contact: <sip:a@192.0.2.1>\r\nContact: <sip:b@192.0.2.2>\r\n"
    world.queue_event(pj.EventEnded, status=302, text=text)
    assert listener.events == [("ended", ("sip:a@192.0.2.1", "sip:b@192.0.2.2"))]


def test_a_connection_that_fails_ends_the_dialog_with_its_cause(world: World) -> None:
    _, listener = world.outgoing()
    world.queue_event(pj.EventEnded, status=503, text="Connection refused", final=False)
    end = listener.end
    assert end is not None
    assert (end.by_peer, end.failure, end.detail) == (False, LegFailure.TRANSPORT_FAILED, "connection refused")


@pytest.mark.parametrize(("confirmed", "failure"), [(False, LegFailure.NO_ACK), (True, LegFailure.REQUEST_FAILED)])
def test_a_timeout_means_no_ack_only_before_the_ack(world: World, confirmed: bool, failure: LegFailure) -> None:  # noqa: FBT001 (a case)
    _, listener = world.incoming()
    if confirmed:
        world.queue_event(pj.EventConfirmed)
    world.queue_event(pj.EventEnded, status=408, text="Request Timeout", final=False)
    assert listener.end is not None
    assert listener.end.failure is failure


@pytest.mark.parametrize("ending", [False, True])
def test_a_dialog_without_audio_is_ended_unless_pjsip_does_so(world: World, ending: bool) -> None:  # noqa: FBT001 (a case)
    _, listener = world.outgoing()
    world.queue_event(pj.EventConfirmed, number=int(ending), final=False)
    assert world.pjsip.sent == ([] if ending else [("end", SLOT, 488, "No audio agreed on", {})])
    assert listener.end is not None
    assert listener.end.failure is LegFailure.UNUSABLE_ANSWER


def test_only_an_outgoing_dialog_reports_its_negotiated_media(world: World) -> None:
    _, incoming = world.incoming(slot=9)
    _, outgoing = world.outgoing()
    for slot in (9, SLOT):
        world.queue_event(pj.EventMedia, slot=slot)
    assert (incoming.events, outgoing.events) == ([], [("media",)])


def test_responses_and_digits_reach_the_listener(world: World) -> None:
    _, listener = world.outgoing()
    world.queue_event(pj.EventTrying)
    world.queue_event(pj.EventDigit, number=ord("#"))
    assert listener.events == [("response",), ("digit", "#")]


def test_a_digit_is_sent_and_a_failure_is_ignored(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.send_dtmf_digit("#")
    world.pjsip.failing = {"digit"}
    dialog.send_dtmf_digit("*")
    assert (world.pjsip.sent, listener.events) == ([("digit", SLOT, "#")], [])


def test_packets_are_counted_while_some_are_due(world: World) -> None:
    dialog, _ = world.incoming()
    assert dialog.packets_received() is None
    world.pjsip.packets = 0
    assert dialog.packets_received() == 0


# -------------------------------------------------------------------- clips


def test_a_clip_that_has_been_played_is_reported_once(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.play("hello")
    token = world.pjsip.ports[0].token
    for _ in range(2):
        world.queue_event(pj.EventClipDone, slot=-1, number=token)
    assert listener.events == [("clip",)]


def test_the_end_of_a_clip_that_was_replaced_or_stopped_is_ignored(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.play("hello")
    dialog.play("hello")
    first, second = (port.token for port in world.pjsip.ports)
    world.queue_event(pj.EventClipDone, slot=-1, number=first)
    dialog.stop_playing()
    world.queue_event(pj.EventClipDone, slot=-1, number=second)
    assert first != second
    assert listener.events == []


def test_a_clip_that_is_not_loaded_is_an_error(world: World) -> None:
    dialog, _ = world.incoming()
    with pytest.raises(KeyError):
        dialog.play("missing")


# -------------------------------------------------------------------- REFER


def test_the_outcome_of_a_refer_reaches_the_listener(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.refer("sip:desk@example.com;transport=tcp", HEADERS)
    ((_, slot, number, refer_to, headers),) = world.pjsip.sent
    assert (slot, refer_to, headers) == (SLOT, "<sip:desk@example.com;transport=tcp>", HEADERS)
    assert isinstance(number, int)
    world.queue_event(pj.EventReferEnded, slot=-1, number=number, status=486)
    world.queue_event(pj.EventReferRejected, slot=-1, number=number, status=405)
    assert listener.events == [("refer ended", 486), ("refer rejected", 405)]


def test_the_late_outcome_of_an_earlier_refer_is_ignored(world: World) -> None:
    dialog, listener = world.incoming()
    dialog.refer("sip:one@example.com", {})
    dialog.refer("sip:two@example.com", {})
    first, second = (sent[2] for sent in world.pjsip.sent)
    assert isinstance(first, int)
    assert first != second
    world.queue_event(pj.EventReferEnded, slot=-1, number=first, status=200)
    assert listener.events == []


def test_a_refer_that_cannot_be_sent_is_rejected_with_500(world: World) -> None:
    dialog, listener = world.incoming()
    world.pjsip.failing = {"REFER"}
    dialog.refer("sip:desk@example.com", {})
    world.thread.run_callbacks()
    assert listener.events == [("refer rejected", 500)]


def test_a_refer_without_refer_handler_or_dialog_gets_403(world: World) -> None:
    world.incoming()
    for slot in (SLOT, 99):
        request = FakeRequest(REFER)
        world.table.decide_refer(slot, request)
        assert request.status == 403


def test_a_refer_that_the_refer_handler_accepts_is_reported_with_its_ticket(world: World) -> None:
    refer_handler = RecordingReferHandler(ReferDecision(202))
    dialog, listener = world.outgoing(refer_handler)
    request = FakeRequest(REFER, ticket=12)
    world.table.decide_refer(SLOT, request)
    world.thread.run_callbacks()
    assert request.status == 0
    assert listener.events == [("referral", 12, "<sip:desk@example.com>", {"X-Why": "tired"})]
    assert refer_handler.notes == ["accepted: <sip:desk@example.com>"]
    dialog.hang_up(200, "", {})
    world.pjsip.sent.clear()
    dialog.notify(12, 200, "OK")
    assert world.pjsip.sent == [("NOTIFY", 12, 200, "OK")]
    world.pjsip.failing = {"NOTIFY"}
    dialog.notify(12, 200, "OK")


def test_a_refer_that_the_refer_handler_rejects_gets_its_status_and_a_warning(world: World) -> None:
    _, listener = world.outgoing(RecordingReferHandler(ReferDecision(404, 'no "desk"')))
    request = FakeRequest(REFER)
    world.table.decide_refer(SLOT, request)
    assert (request.status, request.headers) == (404, {"Warning": "399 sipbridge \"no 'desk'\""})
    assert listener.events == []


def test_a_dialog_that_has_ended_keeps_neither_listener_nor_refer_handler(world: World) -> None:
    """Both lead to the leg, which refers to the dialog: a cycle would keep the call in memory."""
    handler = RecordingReferHandler(ReferDecision(202))
    dialog, listener = world.outgoing(handler)
    kept: list[weakref.ref[object]] = [weakref.ref(handler), weakref.ref(listener)]
    dialog.hang_up(200, "", {})
    world.thread.run_callbacks()
    del handler, listener
    assert [each() for each in kept] == [None, None]


def test_a_refer_that_was_rejected_before_the_decision_is_reported_to_the_refer_handler(world: World) -> None:
    refer_handler = RecordingReferHandler(ReferDecision(202))
    world.outgoing(refer_handler)
    world.queue_event(pj.EventReferUnserved, status=400, text="no Refer-To")
    assert refer_handler.notes == ["rejected: no Refer-To"]


# -------------------------------------------------------------------- BYE


def test_a_bye_that_the_listener_holds_is_passed_on_release(world: World) -> None:
    _, listener = world.incoming()
    assert not world.table.holds_bye(SLOT, 4)
    listener.holding = True
    assert world.table.holds_bye(SLOT, 4)
    assert world.pjsip.sent == []
    assert listener.release is not None
    listener.release()
    assert world.pjsip.sent == [("pass BYE", 4)]


def test_a_bye_without_dialog_is_not_held(world: World) -> None:
    assert not world.table.holds_bye(SLOT, 4)
