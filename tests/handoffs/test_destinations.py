from __future__ import annotations

import pytest

from sipbridge.config import HandoffConfig
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.request import HandoffRequest
from tests.calls.world import DESK_URI, SALES_URI, make_config


def _config(**handoff: object) -> HandoffConfig:
    return make_config(handoff=handoff).clients["acme"].voice_projects["billing"].handoff


def _plan(**request: object) -> HandoffPlan:
    return make_plan(_config(), HandoffRequest.model_validate(request))


def test_an_empty_request_goes_to_the_default_destination() -> None:
    plan = _plan()
    assert (plan.destination, plan.method, plan.skill, plan.uri) == ("care", "release", "10000002", "")
    assert plan.signal


def test_the_default_reason_is_the_destinations_name() -> None:
    assert _plan(destination="sales").reason == "sales"
    assert _plan(destination="sales", reason="billing").reason == "billing"


def test_a_plan_has_the_destinations_method_uri_and_headers() -> None:
    plan = _plan(destination="sales")
    assert (plan.method, plan.uri, plan.headers) == ("refer", SALES_URI, {"X-Queue": "sales"})
    plan = _plan(destination="desk")
    assert (plan.method, plan.uri, plan.signal, plan.answer_timeout_seconds) == ("invite", DESK_URI, False, 20)
    assert _plan(destination="team").answer_timeout_seconds == 0.02


def test_the_error_for_an_unknown_destination_names_those_defined() -> None:
    with pytest.raises(HandoffInvalid, match="use one of care, carrier, desk"):
        _plan(destination="nowhere")


def test_a_request_may_change_the_method_if_there_is_a_uri() -> None:
    assert _plan(destination="sales", method="invite").uri == SALES_URI
    plan = _plan(destination="sales", method="release")
    assert (plan.method, plan.uri) == ("release", "")


@pytest.mark.parametrize("method", ["refer", "invite"])
def test_a_transfer_without_a_uri_is_refused(method: str) -> None:
    with pytest.raises(HandoffInvalid, match="needs a URI"):
        _plan(destination="care", method=method)


def test_a_route_replaces_the_uri() -> None:
    assert _plan(destination="sales", route="sip:other@127.0.0.1").uri == "sip:other@127.0.0.1"
    plan = _plan(destination="care", route="sip:other@127.0.0.1")
    assert (plan.method, plan.uri) == ("refer", "sip:other@127.0.0.1")
    assert _plan(destination="care", route="sip:other@127.0.0.1", method="invite").method == "invite"


def test_a_number_replaces_the_user_part_of_the_uri() -> None:
    assert _plan(destination="sales", route="+15550777").uri == "sip:+15550777@127.0.0.1:5080"


def test_a_number_is_escaped_in_a_uri_as_rfc_3261_requires() -> None:
    """A hash has to be escaped in a user part (RFC 3261, 25.1), or the request cannot be sent."""
    assert _plan(destination="sales", route="*31#").uri == "sip:*31%23@127.0.0.1:5080"


def test_a_number_needs_a_destination_with_a_uri() -> None:
    with pytest.raises(HandoffInvalid, match="route is a number"):
        _plan(destination="care", route="+15550777")


def test_srtp_is_only_for_calls_that_the_bridge_makes() -> None:
    route = "sip:other@127.0.0.1;transport=tls;srtp=optional"
    assert _plan(destination="sales", route=route, method="invite").uri == route
    with pytest.raises(HandoffInvalid, match="asks for SRTP of a call that CXone makes"):
        _plan(destination="sales", route=route, method="refer")
    with pytest.raises(HandoffInvalid, match="no valid srtp parameter"):
        _plan(destination="sales", route="sip:other@127.0.0.1;srtp=maybe", method="invite")


def test_a_method_of_the_request_is_checked_with_the_uri_of_the_destination() -> None:
    team = {"method": "invite", "uri": "sip:team@127.0.0.1;transport=tls;srtp=mandatory"}
    config = _config(destinations={"care": {"method": "release"}, "team": team})
    assert make_plan(config, HandoffRequest(destination="team")).uri == team["uri"]
    with pytest.raises(HandoffInvalid, match="asks for SRTP of a call that CXone makes"):
        make_plan(config, HandoffRequest(destination="team", method="refer"))


def test_a_call_to_a_number_without_a_host_is_refused() -> None:
    config = _config(allowed_routes=["tel:1677*"])
    request = HandoffRequest(destination="sales", route="tel:167772161", method="invite")
    with pytest.raises(HandoffInvalid, match="has no host to call"):
        make_plan(config, request)
    assert make_plan(config, request.model_copy(update={"method": "refer"})).uri == "tel:167772161"


@pytest.mark.parametrize("method", ["refer", "invite"])
def test_a_route_with_an_invalid_port_is_refused(method: str) -> None:
    config = _config(allowed_routes=["sip:*@127.0.0.1:*"])
    route = "sip:other@127.0.0.1:65536"
    request = HandoffRequest.model_validate({"destination": "sales", "route": route, "method": method})
    with pytest.raises(HandoffInvalid, match="the URI has no valid port; write a number from 1 to 65535"):
        make_plan(config, request)


def test_a_call_to_an_ipv6_address_is_refused() -> None:
    config = _config(allowed_routes=["sip:*@[::1]*"])
    request = HandoffRequest(destination="sales", route="sip:desk@[::1]:5080", method="invite")
    with pytest.raises(HandoffInvalid, match="the URI has an IPv6 address"):
        make_plan(config, request)
    assert make_plan(config, request.model_copy(update={"method": "refer"})).uri == "sip:desk@[::1]:5080"


@pytest.mark.parametrize("route", ["sip:x@evil.example", "+1555\n0777", "1" * 33, "sip:x@127.0.0.1.evil.example", "-"])
def test_a_route_that_is_not_allowed_is_refused(route: str) -> None:
    with pytest.raises(HandoffInvalid, match="allowed_routes"):
        _plan(destination="sales", route=route)


def test_a_number_must_match_allowed_routes_too() -> None:
    config = _config(allowed_routes=["sip:+1555*@127.0.0.1*"])
    with pytest.raises(HandoffInvalid, match="allowed_routes"):
        make_plan(config, HandoffRequest(destination="sales", route="+16660777"))


def test_the_destinations_own_uri_need_not_match_allowed_routes() -> None:
    assert make_plan(_config(allowed_routes=[]), HandoffRequest(destination="sales")).uri == SALES_URI


def test_an_error_quotes_nothing_of_the_request() -> None:
    with pytest.raises(HandoffInvalid) as refused:
        _plan(destination="sales", route="sip:+15550123@evil.example")
    assert "15550123" not in str(refused.value)
