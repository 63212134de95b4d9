from __future__ import annotations

import pytest

from sipbridge.telephony.numbers import number_key


@pytest.mark.parametrize("written", ["+19995550001", "1 (999) 555-0001", "1.999.555.0001", "[1]9995550001"])
def test_separators_are_ignored(written: str) -> None:
    assert number_key(written) == "19995550001"


def test_parameters_of_a_telephone_subscriber_are_ignored() -> None:
    assert number_key("+19995550001;npdi;rn=+1888") == "19995550001"


def test_different_numbers_have_different_keys() -> None:
    assert number_key("+19995550001") != number_key("+19995550010")
