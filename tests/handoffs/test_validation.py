from __future__ import annotations

import pytest
from pydantic import ValidationError

from sipbridge.handoffs.request import HandoffRequest
from sipbridge.handoffs.validation import name_faults, name_first_fault, read_json


def _fault(body: object) -> ValidationError:
    with pytest.raises(ValidationError) as refused:
        HandoffRequest.model_validate(body)
    return refused.value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"reason": 7}, "reason: must be text"),
        ({"shared_id": ""}, "shared_id: must not be empty"),
        ({"reason": "x" * 257}, "reason: must have at most 256 characters"),
        ({"method": "teleport"}, "method: must be release, refer or invite"),
        ({"data": []}, "data: must be an object"),
        ({"transcript": [{"role": "agent"}]}, "transcript.0.text: is missing"),
        ({"transcript": [{"role": "agent", "text": "x", "at": "soon"}]}, "transcript.0.at: must be an RFC 3339 time"),
        ({"handoff": 7}, "the body: handoff must be an object"),
    ],
)
def test_a_fault_names_its_field_and_the_remedy(body: object, text: str) -> None:
    assert name_faults(_fault(body), "the body").startswith(text)


def test_faults_are_named_without_the_input_and_five_at_most() -> None:
    body = dict.fromkeys(("a1", "a2", "a3", "a4", "a5", "a6", "a7"), "secret-value")
    text = name_faults(_fault(body))
    assert text.endswith("; and 2 more")
    assert "secret-value" not in text


def test_the_fault_for_the_log_names_known_fields_only() -> None:
    known = HandoffRequest.model_fields
    assert name_first_fault(_fault({"reason": 7}), known) == "reason must be text"
    assert name_first_fault(_fault({"John Doe": 7}), known) == "a field is not a known field"


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', '{"a": ' * 300])
def test_text_that_is_not_valid_json_is_refused_with_its_position(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not valid JSON \(line 1, column [0-9]+\)$"):
        read_json(text)


def test_json_is_parsed() -> None:
    assert read_json(b'{"a": [1, true]}') == {"a": [1, True]}
