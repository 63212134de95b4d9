from __future__ import annotations

from sipbridge.config import SignalTemplate
from sipbridge.handoffs.parameters import fill_in, handoff_values, placeholders


def test_the_placeholders_of_several_templates_are_collected() -> None:
    templates = [SignalTemplate("{reason} {data.order}"), SignalTemplate("fixed"), SignalTemplate("{reason}")]
    assert placeholders(templates) == {"reason", "data.order"}


def test_data_is_converted_only_for_the_placeholders_that_are_used() -> None:
    values = handoff_values(frozenset({"data.order"}), reason="billing", data={"order": 7, "note": "late"})
    assert (values["reason"], values["data.order"], values["data_json"]) == ("billing", "7", "")
    assert "data.note" not in values


def test_all_data_is_one_json_text() -> None:
    assert handoff_values(frozenset({"data_json"}), data={"order": 7})["data_json"] == '{"order":7}'


def test_the_agents_own_parameters_win_and_empty_ones_are_left_out() -> None:
    templates = {"p2": SignalTemplate("{reason}"), "p1": SignalTemplate("{skill}"), "p3": SignalTemplate("x")}
    filled = fill_in(templates.items(), {"reason": "billing", "skill": ""}, [("p3", ""), ("p4", "own")])
    assert list(filled.items()) == [("p2", "billing"), ("p4", "own")]


def test_parameters_are_in_the_order_of_their_numbers() -> None:
    names = ["P10", "P2", "b", "P1", "a12", "a2", "P9"]
    filled = fill_in([(name, SignalTemplate("x")) for name in names], {}, [("P11", "own"), ("P3", "own")])
    assert list(filled) == ["P1", "P2", "P3", "P9", "P10", "P11", "a2", "a12", "b"]
