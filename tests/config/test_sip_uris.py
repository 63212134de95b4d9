from __future__ import annotations

from pathlib import Path

import pytest

from .files import config_problems, with_handoff, with_project


@pytest.mark.parametrize("parameters", [";srtp=", ";srtp=disabled", ";srtp=yes", ";srtp;srtp", ";srtp=optional;srtp"])
def test_an_invalid_srtp_parameter_is_refused(tmp_path: Path, parameters: str) -> None:
    (fault,) = config_problems(tmp_path, with_project(agent={"type": "sip", "uri": f"sip:a@b{parameters}"}))
    assert "has no valid srtp parameter" in fault


@pytest.mark.parametrize("uri", ["sip:a@b?X-A=c@d", "sip:a@b@c", "sip:b?X-A=c@d"])
def test_an_at_sign_that_may_change_the_host_is_refused_with_its_remedy(tmp_path: Path, uri: str) -> None:
    settings = (
        ("agent.uri[0]", with_project(agent={"type": "sip", "uri": uri})),
        ("handoff.destinations.care.", with_handoff(destinations={"care": {"method": "refer", "uri": uri}})),
        ("handoff.destinations.care.", with_handoff(destinations={"care": {"method": "invite", "uri": uri}})),
        ("handoff.allowed_routes[0]", with_handoff(allowed_routes=[uri])),
    )
    for key, setting in settings:
        (fault,) = config_problems(tmp_path, setting)
        assert key in fault
        assert "; write " in fault
        assert "%40" in fault


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_an_invalid_port_is_refused(tmp_path: Path, port: int) -> None:
    uri = f"sip:a@b:{port}"
    agents = with_project(agent={"type": "sip", "uri": uri})
    destinations = with_handoff(destinations={"care": {"method": "refer", "uri": uri}})
    for content in (agents, destinations):
        (fault,) = config_problems(tmp_path, content)
        assert "has no valid port; write a number from 1 to 65535" in fault


def test_the_srtp_parameter_is_refused_for_calls_that_cxone_makes(tmp_path: Path) -> None:
    destinations = {"care": {"method": "refer", "uri": "sip:a@b;srtp"}}
    (fault,) = config_problems(tmp_path, with_handoff(destinations=destinations))
    assert "requests SRTP for a call that CXone makes" in fault
