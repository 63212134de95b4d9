from __future__ import annotations

from pathlib import Path

import pytest

from .files import config_problems, with_handoff, with_project


@pytest.mark.parametrize("parameters", [";srtp=", ";srtp=disabled", ";srtp=yes", ";srtp;srtp", ";srtp=optional;srtp"])
def test_an_invalid_srtp_parameter_is_refused(tmp_path: Path, parameters: str) -> None:
    (fault,) = config_problems(tmp_path, with_project(agent={"type": "sip", "uri": f"sip:a@b{parameters}"}))
    assert "has no valid srtp parameter" in fault


def test_the_srtp_parameter_is_refused_for_calls_that_cxone_makes(tmp_path: Path) -> None:
    destinations = {"care": {"method": "refer", "uri": "sip:a@b;srtp"}}
    (fault,) = config_problems(tmp_path, with_handoff(destinations=destinations))
    assert "requests SRTP for a call that CXone makes" in fault
