from __future__ import annotations

import pytest

from sipbridge.calls.ports import ContactCentre, SignalResult
from sipbridge.cxone import HttpClient
from sipbridge.simulators.cxone import running_simulator
from tests.harness.ipv6 import needs_ipv6

from .conftest import MakeCentre
from .support import Simulator, unnoted
from .test_transcript import TURNS, record


async def test_the_client_is_a_contact_centre(make_centre: MakeCentre) -> None:
    centre: ContactCentre = make_centre()
    assert await centre.signal("1", {"p1": "End"}, unnoted) is SignalResult.ACCEPTED
    assert await centre.post_transcript(record(*TURNS), escalated=False)


@needs_ipv6
async def test_cxone_may_have_an_ipv6_address(make_centre: MakeCentre) -> None:
    async with running_simulator(host="::1") as url:
        assert await make_centre(issuer=url).signal("1", {"p1": "End"}, unnoted) is SignalResult.ACCEPTED


async def test_an_internal_error_is_logged_and_not_raised(
    make_centre: MakeCentre, http: HttpClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    centre = make_centre()
    await centre.warm_up()

    async def fail(*_: object) -> None:
        raise RuntimeError("what nobody foresees")

    monkeypatch.setattr(http, "post", fail)
    assert await centre.signal("1", {"p1": "very-private"}, unnoted) is SignalResult.UNKNOWN
    assert not await centre.post_transcript(record(*TURNS), escalated=True)
    events = [vars(entry).get("event") for entry in caplog.records if entry.levelname == "ERROR"]
    assert events == ["cxone_signal_fault", "cxone_transcript_fault"]
    assert "very-private" not in caplog.text


async def test_the_response_to_a_transcript_does_not_affect_signals(
    make_centre: MakeCentre, simulator: Simulator
) -> None:
    centre = make_centre()
    await simulator.fault("transcript", status=503, times=None)
    for _ in range(6):
        assert not await centre.post_transcript(record(*TURNS), escalated=True)
    assert await centre.signal("1", {}, unnoted) is SignalResult.ACCEPTED
