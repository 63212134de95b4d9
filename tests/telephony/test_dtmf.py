from __future__ import annotations

import pytest

from sipbridge.telephony.dtmf import DTMF_DIGITS, are_dtmf_digits, is_dtmf_digit


def test_there_are_sixteen_digits() -> None:
    assert all(map(is_dtmf_digit, DTMF_DIGITS))
    assert len(set(DTMF_DIGITS)) == 16


@pytest.mark.parametrize("value", ["", "12", "a", "E", "\u0661", " ", 1, None, True])
def test_other_values_are_not_dtmf_digits(value: object) -> None:
    assert not is_dtmf_digit(value)


def test_a_text_of_dtmf_digits_has_at_least_one() -> None:
    assert are_dtmf_digits("*31#")
    assert not are_dtmf_digits("")
    assert not are_dtmf_digits("31x")
