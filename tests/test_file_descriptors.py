from __future__ import annotations

import resource

import pytest

from sipbridge import file_descriptors
from sipbridge.errors import StartupError


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft and the hard limit, not those of this process."""
    now = [256, 1024]

    def change(_what: int, to: tuple[int, int]) -> None:
        now[:] = to

    monkeypatch.setattr(resource, "getrlimit", lambda _what: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", change)
    return now


def test_the_soft_limit_is_raised_to_the_hard_one(limits: list[int]) -> None:
    file_descriptors.raise_limit()
    assert limits == [1024, 1024]


@pytest.mark.parametrize(("limit", "kept"), [(200, 25), (1024, 128), (4096, 512), (1_048_576, 512)])
def test_an_eighth_is_reserved_but_at_most_512(limits: list[int], limit: int, kept: int) -> None:
    limits[0] = limit
    assert file_descriptors.reserved_from() == limit - kept


@pytest.mark.parametrize(("calls", "per_call"), [(500, 6), (200, 3), (2709, 6), (300, 4)])
def test_the_warning_names_the_lowest_limit_that_suffices(limits: list[int], calls: int, per_call: int) -> None:
    warning = file_descriptors.shortage(calls, per_call)
    assert warning is None or f"sip.max_calls is {calls}" in warning
    needed = 1024 if warning is None else int(warning.partition("raise it to ")[2].partition(" ")[0])
    limits[1] = needed
    assert file_descriptors.shortage(calls, per_call) is None
    if warning is not None:
        limits[1] = needed - 2
        assert file_descriptors.shortage(calls, per_call) is not None


def test_a_limit_too_low_for_one_call_is_an_error(limits: list[int]) -> None:
    limits[1] = 76
    with pytest.raises(StartupError, match="limit of 76 is too low for a single call; raise it to"):
        file_descriptors.shortage(500, 6)


def test_the_highest_descriptors_are_reserved(limits: list[int]) -> None:
    limits[0] = 200
    assert [file_descriptors.is_reserved(each) for each in (3, 174, 175, 199)] == [False, False, True, True]


@pytest.mark.parametrize(("calls", "chats"), [(100, 4000), (1, 4000), (100, 600)])
def test_the_limit_must_carry_calls_and_chats_together(limits: list[int], calls: int, chats: int) -> None:
    warning = file_descriptors.shortage(calls, 2, 2 * chats)
    assert warning is not None
    assert "besides max_chats chats" in warning
    assert warning.endswith("or lower sip.max_calls or max_chats")
    limits[1] = int(warning.partition("raise it to ")[2].partition(" ")[0])
    assert file_descriptors.shortage(calls, 2, 2 * chats) is None
    limits[1] -= 2
    assert file_descriptors.shortage(calls, 2, 2 * chats) is not None


def test_many_chats_do_not_make_a_low_limit_an_error(limits: list[int]) -> None:
    limits[1] = 200
    assert "carries 0 calls besides max_chats chats" in (file_descriptors.shortage(500, 2, 4000) or "")
