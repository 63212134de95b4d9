from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.handoffs.destinations import make_plan
from sipbridge.handoffs.lifecycle import finish_handoff, is_in_progress, start_handoff
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.calls.world import make_config

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def handoff() -> HandoffRecord:
    config = make_config().clients["acme"].voice_projects["billing"].handoff
    plan = make_plan(config, HandoffRequest(destination="sales", reason="asked"))
    return start_handoff(plan, shared_id="crm-1", requested_by="api", at=NOW, utterance="Bye.", data={"order": 7})


def test_a_handoff_starts_with_the_values_of_its_plan_and_no_outcome(handoff: HandoffRecord) -> None:
    assert (handoff.destination, handoff.method, handoff.reason) == ("sales", "refer", "asked")
    assert (handoff.shared_id, handoff.requested_by, handoff.utterance, handoff.data) == (
        "crm-1",
        "api",
        "Bye.",
        {"order": 7},
    )
    assert (handoff.state, handoff.confirmed, handoff.finished_at) == (HandoffState.INITIATED, None, None)
    assert is_in_progress(handoff)


@pytest.mark.parametrize(("completed", "state"), [(True, HandoffState.COMPLETED), (False, HandoffState.FAILED)])
def test_a_finished_handoff_has_a_final_state_and_its_time(
    handoff: HandoffRecord, state: HandoffState, *, completed: bool
) -> None:
    end = NOW + timedelta(seconds=2)
    finished = finish_handoff(handoff, completed=completed, confirmed=False, at=end)
    assert (finished.state, finished.confirmed, finished.handoff_at, finished.finished_at) == (state, False, NOW, end)
    assert not is_in_progress(finished)


def test_no_handoff_is_not_in_progress() -> None:
    assert not is_in_progress(None)
