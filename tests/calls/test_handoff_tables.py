"""docs/handoff.md explains every value of the code, in tables that are made from the code."""

from __future__ import annotations

from collections.abc import Iterator

from sipbridge import errors
from sipbridge.calls import outcomes
from sipbridge.calls.endings import BROKEN, CALLER_HUNG_UP, ENDINGS, TAKEN_OVER
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.handoffs.record import HandoffState
from tests.calls.handoff_rows.handoffs import SIGNALS, STARTS, TRANSFERS
from tests.calls.handoff_rows.responses import RESPONSES, Rejection
from tests.calls.handoff_rows.results import CALL_ENDINGS, FINAL_STATES, RECOVERIES

from .handoff_tables import PAGE, TABLES, table_names, write_tables


def test_the_page_has_the_tables_as_the_code_has_them() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert table_names(page) == list(TABLES)
    assert write_tables(page) == page, "run: python -m tests.calls.handoff_tables"


def test_every_rejection_of_an_invite_is_explained() -> None:
    explained = {error for row in RESPONSES if isinstance(row, Rejection) for error in row.errors}
    assert explained == set(_subclasses(errors.InviteRefused))


def _subclasses(error: type[errors.InviteRefused]) -> Iterator[type[errors.InviteRefused]]:
    for each in error.__subclasses__():
        yield each
        yield from _subclasses(each)


def test_every_reason_of_a_handoff_by_the_bridge_is_explained() -> None:
    recovered = {HandoffReason.RESTARTED, HandoffReason.NODE_LOST}  # see the recoveries
    assert {row.reason for row in STARTS if row.reason} | recovered == set(HandoffReason)


def test_every_result_of_a_signal_is_explained() -> None:
    assert [row.value for row in SIGNALS] == [*SignalResult, "none"]


def test_every_result_of_a_transfer_is_explained() -> None:
    explained = [outcome.reason for row in TRANSFERS for outcome in row.outcomes]
    transfers = {
        *(outcome.reason for outcome in outcomes.REFER_OUTCOMES.values()),
        *(ending.reason for ending in BROKEN.values()),
        outcomes.RELEASED,
        outcomes.RELEASED_BY_PEER,
        outcomes.TAKEN_BACK.reason,
        outcomes.REFER_NOT_SENT.reason,
        TAKEN_OVER.reason,
        outcomes.INVITE_ANSWERED.reason,
        outcomes.INVITE_NO_ANSWER.reason,
        outcomes.INVITE_REFUSED.reason,
        CALLER_HUNG_UP.reason,
    }
    assert sorted(explained) == sorted(transfers)


def test_every_final_state_is_explained() -> None:
    assert {row.state for row in FINAL_STATES} == set(HandoffState) - {HandoffState.INITIATED}


def test_every_ending_is_explained_once() -> None:
    assert sorted(row.ending.reason for row in CALL_ENDINGS) == sorted(ending.reason for ending in ENDINGS)


def test_every_outcome_of_a_recovery_is_explained() -> None:
    explained = {reason for row in RECOVERIES for reason in row.reasons}
    recovered = {
        outcomes.HUNG_UP_BEFORE,
        outcomes.BYE_UNKNOWN,
        outcomes.PROJECT_GONE,
        outcomes.TOO_OLD,
        outcomes.NO_SIGNAL,
    }
    signals = {outcome.reason for outcome in outcomes.SIGNAL_OUTCOMES.values()}
    assert explained == signals | {outcome.reason for outcome in recovered} | {outcomes.SIGNALLED_BEFORE}
