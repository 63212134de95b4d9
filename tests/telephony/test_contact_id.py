from __future__ import annotations

import pytest

from sipbridge.telephony.contact_id import NO_CONTACT, is_contact_id


@pytest.mark.parametrize("text", ["1", "412345678901", "a-B-9", "x" * 32, f"{NO_CONTACT}0"])
def test_a_contact_id_is_letters_digits_and_hyphens(text: str) -> None:
    assert is_contact_id(text)


@pytest.mark.parametrize("text", ["", NO_CONTACT, "x" * 33, "1 2", "1\n", "\u0661", "a/b", "a%2Fb", "x" * 1_000_000])
def test_other_texts_are_not_contact_ids(text: str) -> None:
    assert not is_contact_id(text)
