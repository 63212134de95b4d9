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
    assert changed.model_copy() == changed


def test_the_json_of_a_record_is_made_once_and_not_kept_for_a_changed_one() -> None:
    record = make_record("a", handoff=make_handoff())
    assert record.as_json is record.as_json
    assert record.as_json == record.model_dump_json()
    assert record.changed(reason="handed_off").as_json == record.model_dump_json().replace(
        '"reason":""', '"reason":"handed_off"'
    )
    assert record == make_record("a", handoff=make_handoff())


def test_a_changed_record_stays_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record("a").changed(reason="handed_off").reason = "other"  # type: ignore[misc]  # what is tested
