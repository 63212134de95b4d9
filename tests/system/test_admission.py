from __future__ import annotations

import pytest

from .site import Site


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("no_token", 403),
        ("no_contact_id", 400),
        ("malformed_contact_id", 400),
        ("no_common_codec", 488),
        ("session_too_short", 422),
    ],
)
def test_an_invite_without_a_required_header_is_rejected(trunk: Site, scenario: str, code: int) -> None:
    count = trunk.count()
    call = trunk.call(scenario).wait_for_scenario()
    assert call.has_no_record()
    assert call.signals() == []
    assert count.grows_by(1, "sipbridge_invites_total", code=str(code))


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("contact_ids_differ", "different values"),
        ("token_too_long", "over 256 bytes"),
        ("truncated_body", "Content-Length"),
    ],
)
def test_a_malformed_invite_is_rejected_with_a_warning_that_names_the_fault(
    trunk: Site, scenario: str, says: str
) -> None:
    count = trunk.count()
    call = trunk.call(scenario).wait_for_scenario()
    (refusal,) = call.sipp.received(400)
    assert says in refusal.header("Warning")
    assert call.has_no_record()
    assert count.grows_by(1, "sipbridge_invites_total", code="400")


def test_a_number_without_a_client_is_rejected(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("unknown_number", number="+19995559999").wait_for_scenario()
    assert call.has_no_record()
    assert count.grows_by(1, "sipbridge_invites_total", code="404")


@pytest.mark.parametrize("shown", ["nonsense", "token-of-query"], ids=["unknown", "another client's"])
def test_a_token_of_no_project_of_the_client_is_rejected(trunk: Site, shown: str) -> None:
    count = trunk.count()
    call = trunk.call("bad_token", sent_token=shown).wait_for_scenario()
    assert call.has_no_record()
    assert count.grows_by(1, "sipbridge_invites_total", code="403")


def test_headers_are_read_in_any_spelling(trunk: Site) -> None:
    count = trunk.count()
    call = trunk.call("odd_headers").wait_for_scenario()
    handoff = call.handoff_state()
    assert (handoff["contact_id"], handoff["main_contact_id"]) == (call.contact.id, call.contact.main_id)
    assert handoff["caller_number"] == "+15550100"
    assert len(call.signals()) == 1
    assert count.grows_by(1, "sipbridge_handoffs_total", project="release")


def test_a_rejection_logs_no_token(trunk: Site) -> None:
    before = len(trunk.bridge.program.log.read_text())
    count = trunk.count()
    trunk.call("bad_token", sent_token="a-secret-guess").wait_for_scenario()
    # The line of the test before may be late, so it does not show that this call has been counted.
    assert count.grows_by(1, "sipbridge_invites_total", code="403")
    assert "a-secret-guess" not in trunk.bridge.program.logged('"invite_refused"', after=before)
