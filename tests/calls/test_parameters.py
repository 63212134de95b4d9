from __future__ import annotations

from datetime import UTC, datetime

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.parameters import signal_parameters, template_values
from sipbridge.config import HandoffConfig, SignalTemplate
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.calls.world import make_config

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _config(**handoff: object) -> HandoffConfig:
    return make_config(handoff=handoff).clients["acme"].voice_projects["billing"].handoff


def _plan(**request: object) -> HandoffPlan:
    return make_plan(_config(), HandoffRequest.model_validate(request))


def _record(**handoff: object) -> CallRecord:
    handoff_record = HandoffRecord.model_validate(
        {
            "state": HandoffState.INITIATED,
            "shared_id": "123",
            "destination": "care",
            "method": "release",
            "reason": "asked",
            "requested_by": "agent",
            "handoff_at": NOW,
            **handoff,
        }
    )
    return CallRecord(
        call_id="call-1",
        sip_call_id="sip-id",
        client="acme",
        project="billing",
        contact_id="123",
        main_contact_id="987",
        caller="+15550100",
        dialled="+19995550001",
        state=CallState.HANDING_OFF,
        started_at=NOW,
        handoff=handoff_record,
    )


def _rendered(template: str, plan: HandoffPlan | None, record: CallRecord, **headers: str) -> str:
    compiled = SignalTemplate(template)
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return compiled.render(template_values(record, plan, own, frozenset(compiled.names), lambda r: f"pop/{r.call_id}"))


def test_every_placeholder_of_the_contract_has_its_value() -> None:
    plan = _plan(destination="sales", reason="asked", utterance="One moment.")
    record = _record(destination="sales", data={"order": 7, "note": "late"})
    expected = {
        "destination": "sales",
        "skill": "10000003",
        "reason": "asked",
        "utterance": "One moment.",
        "handoff_id": "call-1",
        "call_id": "call-1",
        "contact_id": "123",
        "main_contact_id": "987",
        "caller": "+15550100",
        "dialled": "+19995550001",
        "client": "acme",
        "project": "billing",
        "pop_url": "pop/call-1",
        "data_json": '{"order":7,"note":"late"}',
        "data.order": "7",
        "data.note": "late",
        "headers.X-Queue": "vip",
    }
    rendered = {name: _rendered("{" + name + "}", plan, record, X_Queue="vip") for name in expected}
    assert rendered == expected


def test_a_placeholder_without_a_value_is_empty() -> None:
    assert _rendered("[{data.none}{headers.X-None}{data_json}]", _plan(), _record()) == "[]"


def test_headers_match_in_any_case_and_data_only_as_written() -> None:
    record = _record(data={"Order": 7})
    assert _rendered("{headers.x-QUEUE}", _plan(), record, X_Queue="vip") == "vip"
    assert _rendered("{data.order}", _plan(), record) == ""


def test_values_are_not_templates() -> None:
    assert _rendered("{utterance}", _plan(utterance="{caller} {{x}}"), _record()) == "{caller} {{x}}"


def test_without_a_handoff_its_placeholders_are_empty_and_the_reason_is_the_calls() -> None:
    record = _record().model_copy(update={"handoff": None, "reason": "agent_ended"})
    assert _rendered("{destination}{skill}{utterance}|{reason}", None, record) == "|agent_ended"


def test_a_pop_link_is_signed_only_if_a_template_uses_it() -> None:
    def never(_: CallRecord) -> str:
        raise AssertionError("signing costs time")

    template_values(_record(), _plan(), {}, frozenset({"caller"}), never)


def test_parameters_are_sorted_and_empty_ones_are_left_out() -> None:
    config = _config(signal={"p9": "{caller}", "p1": "x", "p2": "{utterance}"})
    assert list(_sent(config, _plan()).items()) == [("p1", "x"), ("p9", _record().caller)]


def test_the_agents_parameters_win_and_an_empty_one_removes_a_parameter() -> None:
    config = _config(signal={"p1": "x", "p2": "y"})
    assert _sent(config, _plan(parameters={"p1": "", "p3": "z"})) == {"p2": "y", "p3": "z"}


def test_an_end_without_a_handoff_has_its_own_parameters() -> None:
    assert _sent(_config(signal={"p1": "x"}, end_signal={"p1": "End"}), None) == {"p1": "End"}


def _sent(config: HandoffConfig, plan: HandoffPlan | None) -> dict[str, str]:
    return signal_parameters(config, _record(), plan, {}, lambda _: "")
