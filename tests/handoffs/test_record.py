from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.store.records import make_handoff, make_record


def test_a_change_makes_another_record_and_leaves_the_first_as_it_was() -> None:
    record = make_record("a", handoff=make_handoff(reason="asked"))
    changed = record.changed(reason="handed_off", handoff=None)
    assert (changed.reason, changed.handoff, changed.call_id) == ("handed_off", None, "a")
    assert record == make_record("a", handoff=make_handoff(reason="asked"))


def test_a_changed_record_is_the_same_as_a_copy_by_pydantic() -> None:
    record = make_record("a", handoff=make_handoff())
    changed, copy = record.changed(reason="handed_off"), record.model_copy(update={"reason": "handed_off"})
    assert changed == copy
    assert changed.model_dump_json() == copy.model_dump_json()
    assert changed.model_dump(exclude_unset=True) == copy.model_dump(exclude_unset=True)
    assert changed.model_copy() == changed


def test_a_changed_record_stays_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record("a").changed(reason="handed_off").reason = "other"  # type: ignore[misc]  # what is tested
