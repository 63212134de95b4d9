"""Whatever becomes of the Signal, the caller gets BYE: the Studio script then sends the caller to a human."""

from __future__ import annotations

from typing import Any

import pytest

from .site import Contact, Site


@pytest.mark.parametrize(
    ("project", "fault", "signal", "result"),
    [
        ("release", {"status": 404}, "refused", "client_error"),
        ("release", {"status": 500}, "unknown", "indeterminate"),
        ("busy", {"status": 503, "times": None}, "undelivered", "upstream_error"),
        ("hanging", {"latency_seconds": 60}, "unknown", "indeterminate"),
    ],
    ids=["404", "500", "503", "hanging"],
)
def test_a_signal_that_fails_leaves_no_caller_in_silence(
    trunk: Site, project: str, fault: dict[str, Any], signal: str, result: str
) -> None:
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", contact_id=contact.id, **fault)
    call = trunk.call("release", project, contact=contact)
    handoff = call.went_as_written().record()["handoff"]
    assert (handoff["state"], handoff["signal"], handoff["confirmed"]) == ("handoff_failed", signal, False)
    assert call.handoff_state()["handoff_state"] == "handoff_failed"
    assert count.shows(1, "sipbridge_signals_total", client=call.client, result=result)
    assert count.shows(1, "sipbridge_handoffs_total", project=project, result=result)


def test_a_cxone_that_is_not_there_leaves_no_caller_in_silence(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "nobody").went_as_written()
    handoff = call.record()["handoff"]
    assert (handoff["state"], handoff["signal"]) == ("handoff_failed", "undelivered")
    assert count.shows(1, "sipbridge_handoffs_total", project="nobody", reason="signal_undelivered")
    assert count.shows(1, "sipbridge_signals_total", client="nobody", result="upstream_error")


def test_a_signal_that_is_asked_to_come_again_comes_once(trunk: Site) -> None:
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", status=503, retry_after=1, contact_id=contact.id)
    call = trunk.call("release", contact=contact)
    assert call.went_as_written().record()["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
    assert count.shows(1, "sipbridge_handoffs_total", project="release", reason="unconfirmed")


def test_a_token_that_cxone_no_longer_takes_is_replaced(trunk: Site) -> None:
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", expire_tokens=True, contact_id=contact.id)
    call = trunk.call("release", contact=contact)
    assert call.went_as_written().record()["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
    assert count.shows(1, "sipbridge_token_requests_total", client="acme", result="success")
