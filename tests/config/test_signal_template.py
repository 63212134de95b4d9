from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from sipbridge.config import ChatTemplate, SignalTemplate
from sipbridge.config.signal_template import CHAT_NAMES, NAMES


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("End", "End"),
        ("{destination}", "care"),
        ("to {destination}/{skill}!", "to care/42!"),
        ("{{{skill}}}", "{42}"),
        ('{{"d":"{destination}"}}', '{"d":"care"}'),
        ("{{}}", "{}"),
        ("{data.order}", "A-7"),
        ("{data.order id}", "B-8"),
        ("{data.none}{headers.X-None}", ""),
        ("{utterance}", ""),
    ],
)
def test_names_are_filled_in(text: str, rendered: str) -> None:
    values = {"destination": "care", "skill": "42", "data.order": "A-7", "data.order id": "B-8"}
    assert SignalTemplate(text).render(values) == rendered


def test_values_are_not_parsed_as_templates() -> None:
    assert SignalTemplate("{reason}").render({"reason": "{skill}", "skill": "42"}) == "{skill}"


@pytest.mark.parametrize("name", ["X-Customer_Id", "x-Case.No", "X-A!b", "X-%*+`'~"])
def test_a_header_may_have_any_name_of_rfc_3261(name: str) -> None:
    assert SignalTemplate(f"{{headers.{name}}}").render({f"headers.{name.upper()}": "42"}) == "42"


@pytest.mark.parametrize("written", ["X-Queue", "x-queue", "X-QUEUE"])
@pytest.mark.parametrize("sent", ["X-Queue", "x-queue", "X-QUEUE"])
def test_header_names_match_in_any_case(written: str, sent: str) -> None:
    assert SignalTemplate(f"{{headers.{written}}}").render({f"headers.{sent}": "sales"}) == "sales"


def test_data_names_match_exactly() -> None:
    assert SignalTemplate("{data.Order}").render({"data.order": "A-7"}) == ""


def test_every_name_of_the_contract_is_known() -> None:
    values = {name: f"<{name}>" for name in NAMES}
    for name in NAMES:
        assert SignalTemplate(f"{{{name}}}").render(values) == f"<{name}>"
    assert len(NAMES) == 14


def test_names_are_those_that_a_template_uses() -> None:
    template = SignalTemplate("{reason} {{skill}} {data.order} {headers.X-Queue} {reason}")
    assert template.names == {"reason", "data.order", "headers.X-Queue"}


@pytest.mark.parametrize("text", ["{", "}", "a { b", "{reason", "reason}", "{a{b}", "}{", "{{{"])
def test_broken_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has an unpaired|unknown name"):
        SignalTemplate(text)


@pytest.mark.parametrize("name", ["", "nothing", "Reason", " reason", "data.", "data", "headers.", "headers.Via"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown name"):
        SignalTemplate(f"{{{name}}}")


def test_a_misspelled_name_gets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"did you mean \{destination\}\?"):
        SignalTemplate("{destinaton}")


def test_a_template_is_a_field_of_a_model() -> None:
    class Holder(BaseModel):
        template: SignalTemplate

    held = Holder.model_validate({"template": "{reason}"})
    assert held.template == SignalTemplate("{reason}")
    assert hash(held.template) == hash(SignalTemplate("{reason}"))
    assert Holder.model_validate(held.model_dump()) == held
    assert Holder(template=held.template).template is held.template
    with pytest.raises(ValidationError, match="put it in quotes"):
        Holder.model_validate({"template": 5})


@pytest.mark.parametrize("name", ["User-to-User", "diversion", "History-Info", "P-ASSERTED-IDENTITY"])
def test_standard_headers_have_names_too(name: str) -> None:
    template = SignalTemplate(f"<{{headers.{name}}}>")
    assert template.render({f"headers.{name.title()}": "a"}) == "<a>"
    with pytest.raises(ValueError, match="unknown name"):
        SignalTemplate("{headers.From}")


def test_every_name_of_a_chat_is_known() -> None:
    values = {name: f"<{name}>" for name in CHAT_NAMES}
    for name in CHAT_NAMES:
        assert ChatTemplate(f"{{{name}}}").render(values) == f"<{name}>"
    assert {f"customer.{key}" for key in ("id", "first_name", "last_name", "email", "phone")} < CHAT_NAMES
    assert ChatTemplate("{data.order}: {customer.id}").render({"data.order": "A-7"}) == "A-7: "


@pytest.mark.parametrize("name", [*sorted(NAMES - CHAT_NAMES), "headers.X-Queue", "headers.Diversion"])
def test_names_of_a_call_are_unknown_in_a_chat(name: str) -> None:
    with pytest.raises(ValueError, match="has the unknown name"):
        ChatTemplate(f"{{{name}}}")


@pytest.mark.parametrize("name", sorted(CHAT_NAMES - NAMES))
def test_names_of_a_chat_are_unknown_in_a_call(name: str) -> None:
    with pytest.raises(ValueError, match="has the unknown name"):
        SignalTemplate(f"{{{name}}}")
