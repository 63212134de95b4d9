from __future__ import annotations

import pytest

from sipbridge.handoffs.json_values import MAX_DATA_CHARACTERS, MAX_DATA_LEVELS, check_data, to_text, without_nulls


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), ("", ""), (7, "7"), (True, "true"), ({"a": [1, "ü"]}, '{"a":[1,"ü"]}')]
)
def test_a_string_stays_and_other_values_become_json(value: object, text: str) -> None:
    assert to_text(value) == text


def test_only_the_fields_of_the_object_itself_lose_their_nulls() -> None:
    assert without_nulls({"a": None, "b": {"c": None}}) == {"b": {"c": None}}
    assert without_nulls([None]) == [None]


def _nested(levels: int) -> dict[str, object]:
    data: dict[str, object] = {}
    for _ in range(levels):
        data = {"a": data}
    return data


@pytest.mark.parametrize(
    "data", [{}, {"a": 10**4000}, _nested(MAX_DATA_LEVELS), {"a": "x" * (MAX_DATA_CHARACTERS - 9)}]
)
def test_data_within_the_limits_is_returned_unchanged(data: dict[str, object]) -> None:
    assert check_data(data) is data


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (_nested(MAX_DATA_LEVELS + 1), "nested over 200 levels"),
        ({"a": "x" * (MAX_DATA_CHARACTERS - 8)}, "over 65536 characters"),
        ({"a": float("nan")}, "NaN"),
        ({"a": 10**5000}, "4,300 digits"),
        ({"a": "\ud800"}, "lone surrogate"),
    ],
)
def test_data_beyond_a_limit_is_refused_by_its_name(data: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        check_data(data)
