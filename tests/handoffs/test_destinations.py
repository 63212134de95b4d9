from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.parameters import signal_parameters, template_values
from sipbridge.config import HandoffConfig, SignalTemplate
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.calls.world import DESK_URI, SALES_URI, make_config

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _config(**handoff: object) -> HandoffConfig:
    return make_config(handoff=handoff).clients["acme"].projects["billing"].handoff


def _plan(**request: object) -> HandoffPlan:
    return make_plan(_config(), HandoffRequest.model_validate(request))


def _record(**handoff: object) -> CallRecord:
    wish = HandoffRecord.model_validate(
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
        handoff=wish,
    )


def _rendered(template: str, plan: HandoffPlan | None, record: CallRecord, **headers: str) -> str:
    compiled = SignalTemplate(template)
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return compiled.render(template_values(record, plan, own, frozenset(compiled.names), lambda r: f"pop/{r.call_id}"))


# ---------------------------------------------------------------- the plan


def test_an_empty_wish_goes_to_the_default() -> None:
    plan = _plan()
    assert (plan.destination, plan.method, plan.skill, plan.uri) == ("care", "release", "10000002", "")
    assert plan.signal


def test_the_reason_is_the_destinations_name_unless_given() -> None:
    assert _plan(destination="sales").reason == "sales"
    assert _plan(destination="sales", reason="billing").reason == "billing"


def test_a_destination_brings_its_method_uri_and_headers() -> None:
    plan = _plan(destination="sales")
    assert (plan.method, plan.uri, plan.headers) == ("refer", SALES_URI, {"X-Queue": "sales"})
    plan = _plan(destination="desk")
    assert (plan.method, plan.uri, plan.signal, plan.answer_timeout_seconds) == ("invite", DESK_URI, False, 20)
    assert _plan(destination="team").answer_timeout_seconds == 0.02


def test_an_unknown_destination_is_refused_with_those_there_are() -> None:
    with pytest.raises(HandoffInvalid, match="defined are care, carrier, desk"):
        _plan(destination="nowhere")


def test_the_method_may_be_another_where_there_is_a_uri() -> None:
    assert _plan(destination="sales", method="invite").uri == SALES_URI
    plan = _plan(destination="sales", method="release")
    assert (plan.method, plan.uri) == ("release", "")


@pytest.mark.parametrize("method", ["refer", "invite"])
def test_a_transfer_without_a_uri_is_refused(method: str) -> None:
    with pytest.raises(HandoffInvalid, match="needs a URI"):
        _plan(destination="care", method=method)


def test_a_route_takes_the_place_of_the_uri() -> None:
    assert _plan(destination="sales", route="sip:other@127.0.0.1").uri == "sip:other@127.0.0.1"
    plan = _plan(destination="care", route="sip:other@127.0.0.1")
    assert (plan.method, plan.uri) == ("refer", "sip:other@127.0.0.1")
    assert _plan(destination="care", route="sip:other@127.0.0.1", method="invite").method == "invite"


def test_a_number_takes_the_place_of_the_uris_user() -> None:
    assert _plan(destination="sales", route="+15550777").uri == "sip:+15550777@127.0.0.1:5080"


def test_a_number_goes_into_a_uri_as_rfc_3261_allows_it() -> None:
    """A hash has to be escaped in a user part (RFC 3261, 25.1), or the request cannot be sent."""
    assert _plan(destination="sales", route="*31#").uri == "sip:*31%23@127.0.0.1:5080"


def test_a_number_for_a_destination_without_uri_is_refused() -> None:
    with pytest.raises(HandoffInvalid, match="route is a number"):
        _plan(destination="care", route="+15550777")


def test_srtp_is_for_calls_that_we_make() -> None:
    route = "sip:other@127.0.0.1;transport=tls;srtp=optional"
    assert _plan(destination="sales", route=route, method="invite").uri == route
    with pytest.raises(HandoffInvalid, match="asks for SRTP of a call that CXone makes"):
        _plan(destination="sales", route=route, method="refer")
    with pytest.raises(HandoffInvalid, match="no usable srtp parameter"):
        _plan(destination="sales", route="sip:other@127.0.0.1;srtp=maybe", method="invite")


def test_we_call_no_ipv6_address() -> None:
    config = _config(allowed_routes=["sip:*@[::1]*"])
    request = HandoffRequest(destination="sales", route="sip:desk@[::1]:5080", method="invite")
    with pytest.raises(HandoffInvalid, match="the URI has an IPv6 address"):
        make_plan(config, request)
    assert make_plan(config, request.model_copy(update={"method": "refer"})).uri == "sip:desk@[::1]:5080"


@pytest.mark.parametrize("route", ["sip:x@evil.example", "+1555\n0777", "1" * 33, "sip:x@127.0.0.1.evil.example", "-"])
def test_a_route_that_is_not_allowed_is_refused(route: str) -> None:
    with pytest.raises(HandoffInvalid, match="allowed_routes"):
        _plan(destination="sales", route=route)


def test_a_number_too_must_be_allowed() -> None:
    config = _config(allowed_routes=["sip:+1555*@127.0.0.1*"])
    with pytest.raises(HandoffInvalid, match="allowed_routes"):
        make_plan(config, HandoffRequest(destination="sales", route="+16660777"))


def test_the_destinations_own_uri_needs_no_leave() -> None:
    assert make_plan(_config(allowed_routes=[]), HandoffRequest(destination="sales")).uri == SALES_URI


def test_a_refusal_shows_nothing_of_the_request() -> None:
    with pytest.raises(HandoffInvalid) as refused:
        _plan(destination="sales", route="sip:+15550123@evil.example")
    assert "15550123" not in str(refused.value)


# ---------------------------------------------------------------- the Signal's parameters


def test_templates_know_every_name_of_the_contract() -> None:
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


def test_names_that_the_call_lacks_are_empty() -> None:
    assert _rendered("[{data.none}{headers.X-None}{data_json}]", _plan(), _record()) == "[]"


def test_headers_match_in_any_case_and_data_as_written() -> None:
    record = _record(data={"Order": 7})
    assert _rendered("{headers.x-QUEUE}", _plan(), record, X_Queue="vip") == "vip"
    assert _rendered("{data.order}", _plan(), record) == ""


def test_values_are_not_templates() -> None:
    assert _rendered("{utterance}", _plan(utterance="{caller} {{x}}"), _record()) == "{caller} {{x}}"


def test_without_a_handoff_its_names_are_empty_and_the_reason_is_the_calls() -> None:
    record = _record().model_copy(update={"handoff": None, "reason": "agent_ended"})
    assert _rendered("{destination}{skill}{utterance}|{reason}", None, record) == "|agent_ended"


def test_a_link_is_signed_only_where_one_is_wanted() -> None:
    def never(_: CallRecord) -> str:
        raise AssertionError("signing costs time")

    template_values(_record(), _plan(), {}, frozenset({"caller"}), never)


def test_parameters_come_in_order_and_empty_ones_not_at_all() -> None:
    config = _config(signal={"p9": "{caller}", "p1": "x", "p2": "{utterance}"})
    assert list(_sent(config, _plan()).items()) == [("p1", "x"), ("p9", _record().caller)]


def test_overrides_win_and_an_empty_one_takes_away() -> None:
    config = _config(signal={"p1": "x", "p2": "y"})
    assert _sent(config, _plan(parameters={"p1": "", "p3": "z"})) == {"p2": "y", "p3": "z"}


def test_an_end_with_no_handoff_has_parameters_of_its_own() -> None:
    assert _sent(_config(signal={"p1": "x"}, end_signal={"p1": "End"}), None) == {"p1": "End"}


def _sent(config: HandoffConfig, plan: HandoffPlan | None) -> dict[str, str]:
    return signal_parameters(config, _record(), plan, {}, lambda _: "")
