from __future__ import annotations

from pathlib import Path

from tests.harness.programs.simulator import Simulator
from tests.harness.sip.raw_sender import Pinger
from tests.harness.web.http import fetch

from .site import site


def test_a_call_over_max_calls_gets_503_with_retry_after(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, sip={"max_calls": 1}) as trunk:
        count = trunk.count()
        first = trunk.call("caller_hangs_up", "waiting", hold_seconds=2)
        first.wait_until_answered()
        second = trunk.call("over_capacity").wait_for_scenario()
        with Pinger(trunk.bridge.sip) as pinger:
            assert (fetch(f"{trunk.bridge.http}/readyz").status, *pinger.response()) == (503, 503, "5")
        assert second.has_no_record()
        assert count.grows_by(1, "sipbridge_invites_total", code="503")
        assert first.wait_for_scenario().record()["ended_by"] == "caller"
        trunk.bridge.wait_until_idle()
        with Pinger(trunk.bridge.sip) as pinger:
            assert (fetch(f"{trunk.bridge.http}/readyz").status, *pinger.response()) == (200, 200, "")
        assert trunk.call("release").wait_for_scenario().record()["handoff"]["state"] == "handoff_completed"


def test_a_source_over_its_rate_gets_503_with_retry_after(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, sip={"max_calls_per_second": 2}) as trunk:
        count = trunk.count()
        calls = trunk.call("over_rate", "waiting", calls=10).wait_for_scenario()
        refusals = calls.sipp.received(503)
        assert len({refusal.header("Call-ID") for refusal in refusals}) == len(refusals)
        assert len(refusals) >= 7  # a burst of two, and one more per half second that this took
        assert all(refusal.header("Retry-After") == "1" for refusal in refusals)
        assert count.grows_by(len(refusals), "sipbridge_invites_total", code="503")
        trunk.bridge.wait_until_idle()
        assert len(calls.project.calls(calls.contact.id)) == 10 - len(refusals)


def test_an_untrusted_source_gets_403(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, sip={"trusted_sources": ["192.0.2.0/24"]}) as trunk:
        count = trunk.count()
        call = trunk.call("untrusted_source").wait_for_scenario()
        assert call.has_no_record()
        assert count.grows_by(1, "sipbridge_invites_total", code="403")
