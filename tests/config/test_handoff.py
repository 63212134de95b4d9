from __future__ import annotations

from pathlib import Path

import pytest

from .files import config_problems, load, with_handoff


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ({"method": "release", "uri": "sip:a@b"}, "uri"),
        ({"method": "refer"}, "uri"),
        ({"method": "invite"}, "uri"),
        ({"method": "invite", "uri": "tel:+1999"}, "uri"),
        ({"method": "refer", "uri": "<sip:a@b>"}, "uri"),
        ({"method": "refer", "uri": "sip:a@b", "headers": {"Refer-To": "x"}}, "headers.Refer-To"),
        ({"method": "refer", "uri": "sip:a@b", "headers": {"X-A": "a\r\nVia: b"}}, "headers.X-A"),
        ({"method": "transfer"}, "method"),
        ({"skill": "1"}, "method"),
        ({"method": "release", "skill": 1}, "skill"),
        ({"method": "release", "signal": "perhaps"}, "signal"),
    ],
)
def test_a_bad_destination_names_its_key(tmp_path: Path, destination: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_handoff(destinations={"care": destination}))
    assert found.startswith(f"clients.acme.projects.billing.handoff.destinations.care.{place}: ")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("signal", {"p10": "x"}, ".p10"),
        ("signal", {"p1": "{nothing}"}, ".p1"),
        ("end_signal", {"p1": "{"}, ".p1"),
        ("end_signal", {"P1": "x"}, ".P1"),
        ("allowed_routes", ["*"], "[0]"),
        ("release_grace_seconds", -1, ""),
        ("dtmf_key", "", ""),
        ("dtmf_key", "00", ""),
        ("dtmf_key", "a", ""),
        ("dtmf_key", 10, ""),
        ("dtmf_key", True, ""),
        ("dtmf_key", ["1"], ""),
    ],
)
def test_a_bad_value_of_a_handoff_names_its_key(tmp_path: Path, key: str, value: object, place: str) -> None:
    (found,) = config_problems(tmp_path, with_handoff(**{key: value}))
    assert found.startswith(f"clients.acme.projects.billing.handoff.{key}{place}: ")


@pytest.mark.parametrize(("written", "key"), [(0, "0"), (9, "9"), ("*", "*"), ("#", "#"), ("D", "D")])
def test_a_dtmf_digit_may_be_written_as_a_number(tmp_path: Path, written: object, key: str) -> None:
    handoff = load(tmp_path, with_handoff(dtmf_key=written)).clients["acme"].voice_projects["billing"].handoff
    assert handoff.dtmf_key == key
