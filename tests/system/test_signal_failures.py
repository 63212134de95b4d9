"""If the Signal fails, the caller still gets BYE: the Studio script then sends the caller to a human agent."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from .site import Contact, Site

CROWD = 40
BREAKER_SECONDS = 10


def in_seconds(seconds: float) -> str:
    """A moment from now in HTTP's date format (RFC 9110, section 5.6.7)."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("project", "fault", "signal", "result"),
    [
        ("release", {"status": 404}, "refused", "client_error"),
        ("release", {"status": 500}, "unknown", "indeterminate"),
        ("busy", {"status": 503, "times": None}, "undelivered", "upstream_error"),
        ("release", {"status": 429, "retry_after": 60}, "undelivered", "upstream_error"),
        ("release", {"status": 429, "retry_after": in_seconds(3600)}, "undelivered", "upstream_error"),
        ("hanging", {"latency_seconds": 60}, "unknown", "indeterminate"),
    ],
    ids=["404", "500", "503", "429 for a minute", "429 until a date", "hanging"],
)
def test_a_failed_signal_leaves_no_caller_in_silence(
    trunk: Site, project: str, fault: dict[str, Any], signal: str, result: str
) -> None:
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", contact_id=contact.id, **fault)
    call = trunk.call("release", project, contact=contact)
    handoff = call.wait_for_scenario().record()["handoff"]
    assert (handoff["state"], handoff["signal"], handoff["confirmed"]) == ("handoff_failed", signal, False)
    assert call.handoff_state()["handoff_state"] == "handoff_failed"
    assert count.grows_by(1, "sipbridge_signals_total", client=call.client, result=result)
    assert count.grows_by(1, "sipbridge_handoffs_total", project=project, result=result)


def test_an_unreachable_cxone_leaves_no_caller_in_silence(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("release", "unreachable").wait_for_scenario()
    handoff = call.record()["handoff"]
    assert (handoff["state"], handoff["signal"]) == ("handoff_failed", "undelivered")
    assert count.grows_by(1, "sipbridge_handoffs_total", project="unreachable", reason="signal_undelivered")
    assert count.grows_by(1, "sipbridge_signals_total", client="unreachable", result="upstream_error")


@pytest.mark.parametrize("wait", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_signal_that_gets_retry_after_is_retried_once(trunk: Site, status: int, wait: str) -> None:
    count = trunk.count()
    contact = Contact.new()
    retry_after = 1 if wait == "seconds" else in_seconds(1)
    trunk.cxone.fail("signal", status=status, retry_after=retry_after, contact_id=contact.id)
    call = trunk.call("release", contact=contact)
    assert call.wait_for_scenario().record()["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release", reason="unconfirmed")


def test_a_token_that_cxone_rejects_is_replaced(trunk: Site) -> None:
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", expire_tokens=True, contact_id=contact.id)
    call = trunk.call("release", contact=contact)
    assert call.wait_for_scenario().record()["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_token_requests_total", client="acme", result="success")


def test_a_token_that_expires_during_many_calls_is_requested_once(trunk: Site) -> None:
    trunk.call("release", "crowded").wait_for_scenario()  # now there is a token
    count = trunk.count()
    contact = Contact.new()
    trunk.cxone.fail("signal", expire_tokens=True, contact_id=contact.ids_of_calls(1)[0])
    trunk.call(trunk.with_own_contacts("release"), "crowded", contact=contact, calls=CROWD).wait_for_scenario()
    assert count.grows_by(CROWD, "sipbridge_signals_total", client="crowded", result="success")
    assert count.grows_by(1, "sipbridge_token_requests_total", client="crowded")
    signalled = [signal["contact_id"] for signal in trunk.cxone.all_signals()]
    assert all(signalled.count(each) == 1 for each in contact.ids_of_calls(CROWD))


def test_a_failing_cxone_gets_no_requests_until_a_later_retry(trunk: Site) -> None:
    contact = Contact.new()
    for each in contact.ids_of_calls(5):
        trunk.cxone.fail("signal", status=504, contact_id=each)
    trunk.call(trunk.with_own_contacts("release"), "tripped", contact=contact, calls=5).wait_for_scenario()
    opened = time.monotonic()
    count = trunk.count()
    held_back = trunk.call("release", "tripped").wait_for_scenario()
    assert held_back.record()["handoff"]["signal"] == "undelivered"
    assert held_back.signals() == []
    assert count.grows_by(1, "sipbridge_handoffs_total", client="tripped", reason="signal_undelivered")
    while (call := trunk.call("release", "tripped").wait_for_scenario()).record()["handoff"]["signal"] != "accepted":
        assert time.monotonic() - opened < BREAKER_SECONDS + 10
    assert time.monotonic() - opened > BREAKER_SECONDS - 1
    assert len(call.signals()) == 1


@pytest.mark.parametrize(
    "fault",
    [{"latency_seconds": 60}, {"cut": "body", "latency_seconds": 60}, {"body_bytes": 10_000_000}],
    ids=["hanging", "hanging in its body", "ten megabytes"],
)
def test_the_outcome_of_the_transcript_does_not_affect_the_handoff(trunk: Site, fault: dict[str, Any]) -> None:
    contact = Contact.new()
    trunk.cxone.fail("transcript", contact_id=contact.main_id, **fault)
    call = trunk.call("release", "transcribed", contact=contact)
    body = {"transcript": [{"role": "caller", "text": "A human, please."}]}
    assert call.project.request(f"calls/{call.wait_until_answered()}/handoff", "POST", body).status == 202
    assert call.wait_for_scenario().record()["handoff"]["signal"] == "accepted"
    assert len(call.signals()) == 1
