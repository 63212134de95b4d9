"""The commands and events of one dialog: its beginning, its end, media and clips."""

from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegFailure
from sipbridge.errors import LegEnded
from sipbridge.sip.dialog import Dialog
from sipbridge.sip.thread import CallEvent
from tests.sip.dialog_world import HEADERS, INVITE, SLOT, DialogWorld, Listener

BYE = "BYE sip:bridge SIP/2.0\r\nX-Reason: done\r\n\r\n"


def test_dialling_sends_an_invite(dialog_world: DialogWorld) -> None:
    Dialog(dialog_world.context).dial(INVITE, Listener())
    assert dialog_world.pjsip.sent == [
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


def test_an_invite_that_cannot_be_sent_leaves_no_dialog(dialog_world: DialogWorld) -> None:
    dialog, listener = Dialog(dialog_world.context), Listener()
    dialog_world.pjsip.failing = {"INVITE"}
    with pytest.raises(LegEnded, match=r"could not be sent: no address of sip\.listen can send to it"):
        dialog.dial(INVITE, listener)
    dialog.hang_up(487, "", {})
    dialog_world.queue_event(pj.EventTrying)
    assert (dialog_world.pjsip.sent, listener.events) == ([], [])


def test_answering_sends_200_and_the_ack_confirms_it(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.progress(180)
    dialog.answer(HEADERS)
    assert dialog_world.pjsip.sent == [("response", SLOT, 180, {}), ("response", SLOT, 200, HEADERS)]
    dialog_world.queue_event(pj.EventAnswered)
    dialog_world.queue_event(pj.EventConfirmed)
    assert listener.events == [("confirmed", True)]


def test_a_200_that_cannot_be_sent_ends_the_dialog(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog_world.pjsip.failing = {"response"}
    dialog.answer({})
    dialog_world.thread.run_callbacks()
    assert dialog_world.pjsip.sent == [("end", SLOT, 500, "", {})]
    assert listener.end is not None
    assert (listener.end.by_peer, listener.end.sip_status, listener.end.failure) == (False, 500, None)


def test_a_provisional_response_that_cannot_be_sent_is_an_error(dialog_world: DialogWorld) -> None:
    dialog, _ = dialog_world.incoming()
    dialog_world.pjsip.failing = {"response"}
    with pytest.raises(LegEnded, match="the request could not be sent"):
        dialog.progress(180)


@pytest.mark.parametrize(("failing", "sip_status"), [(False, 486), (True, 500)])
def test_hanging_up_ends_the_dialog_at_once(
    dialog_world: DialogWorld,
    failing: bool,  # noqa: FBT001 (a case)
    sip_status: int,
) -> None:
    dialog, listener = dialog_world.incoming()
    dialog_world.pjsip.failing = {"end"} if failing else set()
    dialog.hang_up(486, "Busy", HEADERS)
    assert dialog_world.pjsip.sent == ([] if failing else [("end", SLOT, 486, "Busy", HEADERS)])
    dialog_world.thread.run_callbacks()
    assert listener.end is not None
    assert (listener.end.by_peer, listener.end.sip_status) == (False, sip_status)


def test_commands_after_the_end_send_nothing(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    other, _ = dialog_world.incoming(slot=9)
    dialog_world.queue_event(pj.EventEnded, status=200, text=BYE)
    dialog_world.pjsip.audio = {SLOT: 11}
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
    assert (dialog_world.pjsip.sent, dialog_world.pjsip.connected, dialog_world.pjsip.ports) == ([], set(), [])
    assert len(listener.events) == 1


def test_events_after_hanging_up_are_ignored(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.outgoing()
    dialog.hang_up(487, "", {})
    dialog_world.thread.run_callbacks()
    for kind in (pj.EventTrying, pj.EventMedia, pj.EventConfirmed, pj.EventDigit, pj.EventEnded):
        dialog_world.queue_event(kind, status=487)
    assert listener.events == [("ended", ())]


def test_a_slot_that_another_call_has_now_stays_with_it(dialog_world: DialogWorld) -> None:
    first, first_listener = dialog_world.incoming()
    _, second = dialog_world.incoming()  # before the end of the first was handled
    first.hang_up(200, "", {})
    dialog_world.queue_event(pj.EventDigit, number=ord("5"))
    assert first_listener.events == [("ended", ())]
    assert second.events == [("digit", "5")]


def test_a_bye_ends_the_dialog_and_reports_its_headers_and_audio(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.incoming()
    dialog_world.queue_event(pj.EventAnswered)
    dialog_world.queue_event(pj.EventConfirmed)
    dialog_world.queue_event(pj.EventEnded, number=pj.AudioHeard | pj.AudioDue, status=200, text=BYE)
    end = listener.end
    assert end is not None
    assert (end.by_peer, end.sip_status, dict(end.headers)) == (True, 200, {"X-Reason": "done"})
    assert (end.answered, end.heard, end.audio_due, end.failure) == (True, True, True, None)


def test_a_redirection_ends_the_dialog_with_its_contacts(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.outgoing()
    text = "Contact: <sip:a@192.0.2.1>\r\nContact: <sip:b@192.0.2.2>\r\n"
    dialog_world.queue_event(pj.EventEnded, status=302, text=text)
    assert listener.events == [("ended", ("sip:a@192.0.2.1", "sip:b@192.0.2.2"))]


def test_a_connection_that_fails_ends_the_dialog_with_its_cause(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.outgoing()
    dialog_world.queue_event(pj.EventEnded, status=503, text="Connection refused", final=False)
    end = listener.end
    assert end is not None
    assert (end.by_peer, end.failure, end.detail) == (False, LegFailure.TRANSPORT_FAILED, "connection refused")


@pytest.mark.parametrize(("confirmed", "failure"), [(False, LegFailure.NO_ACK), (True, LegFailure.REQUEST_FAILED)])
def test_a_timeout_means_no_ack_only_before_the_ack(
    dialog_world: DialogWorld,
    confirmed: bool,  # noqa: FBT001 (a case)
    failure: LegFailure,
) -> None:
    _, listener = dialog_world.incoming()
    if confirmed:
        dialog_world.queue_event(pj.EventConfirmed)
    dialog_world.queue_event(pj.EventEnded, status=408, text="Request Timeout", final=False)
    assert listener.end is not None
    assert listener.end.failure is failure


@pytest.mark.parametrize("ending", [False, True])
def test_a_dialog_without_audio_is_ended_unless_pjsip_does_so(
    dialog_world: DialogWorld,
    ending: bool,  # noqa: FBT001 (a case),
) -> None:
    _, listener = dialog_world.outgoing()
    dialog_world.queue_event(pj.EventConfirmed, number=int(ending), final=False)
    assert dialog_world.pjsip.sent == ([] if ending else [("end", SLOT, 488, "No audio agreed on", {})])
    assert listener.end is not None
    assert listener.end.failure is LegFailure.UNUSABLE_ANSWER


def test_the_end_of_a_dialog_without_audio_ends_no_other_call_in_its_slot(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.outgoing()
    without_audio = CallEvent(pj.EventConfirmed, SLOT, 0, 0, "", final=False)
    dialog_world.queue_events(without_audio, CallEvent(pj.EventEnded, SLOT, 0, 200, BYE, final=True))
    assert dialog_world.pjsip.sent == []
    assert listener.end is not None
    assert listener.end.by_peer


def test_only_an_outgoing_dialog_reports_its_negotiated_media(dialog_world: DialogWorld) -> None:
    _, incoming = dialog_world.incoming(slot=9)
    _, outgoing = dialog_world.outgoing()
    for slot in (9, SLOT):
        dialog_world.queue_event(pj.EventMedia, slot=slot)
    assert (incoming.events, outgoing.events) == ([], [("media",)])


def test_responses_and_digits_reach_the_listener(dialog_world: DialogWorld) -> None:
    _, listener = dialog_world.outgoing()
    dialog_world.queue_event(pj.EventTrying)
    dialog_world.queue_event(pj.EventDigit, number=ord("#"))
    assert listener.events == [("response",), ("digit", "#")]


def test_a_digit_is_sent_and_a_failure_is_ignored(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.send_dtmf_digit("#")
    dialog_world.pjsip.failing = {"digit"}
    dialog.send_dtmf_digit("*")
    assert (dialog_world.pjsip.sent, listener.events) == ([("digit", SLOT, "#")], [])


def test_packets_are_counted_while_some_are_due(dialog_world: DialogWorld) -> None:
    dialog, _ = dialog_world.incoming()
    assert dialog.packets_received() is None
    dialog_world.pjsip.packets = 0
    assert dialog.packets_received() == 0


# -------------------------------------------------------------------- clips


def test_a_clip_that_has_been_played_is_reported_once(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.play("hello")
    token = dialog_world.pjsip.ports[0].token
    for _ in range(2):
        dialog_world.queue_event(pj.EventClipDone, slot=-1, number=token)
    assert listener.events == [("clip",)]


def test_the_end_of_a_clip_that_was_replaced_or_stopped_is_ignored(dialog_world: DialogWorld) -> None:
    dialog, listener = dialog_world.incoming()
    dialog.play("hello")
    dialog.play("hello")
    first, second = (port.token for port in dialog_world.pjsip.ports)
    dialog_world.queue_event(pj.EventClipDone, slot=-1, number=first)
    dialog.stop_playing()
    dialog_world.queue_event(pj.EventClipDone, slot=-1, number=second)
    assert first != second
    assert listener.events == []


def test_a_clip_that_is_not_loaded_is_an_error(dialog_world: DialogWorld) -> None:
    dialog, _ = dialog_world.incoming()
    with pytest.raises(KeyError):
        dialog.play("missing")
