from __future__ import annotations

import pytest

from sipbridge.calls.ports.cxone import ContactCentre, SignalResult
from sipbridge.http import HttpClient
from sipbridge.simulators.cxone import running_simulator
from tests.harness.ipv6 import needs_ipv6

from .conftest import MakeCentre
from .support import Simulator, ignore_note
from .test_transcript import TURNS, record


async def test_the_client_is_a_contact_centre(make_client: MakeCentre) -> None:
    cxone: ContactCentre = make_client()
    assert await cxone.signal("1", {"p1": "End"}, ignore_note) is SignalResult.ACCEPTED
    assert await cxone.post_transcript(record(*TURNS), escalated=False)


@needs_ipv6
async def test_cxone_may_have_an_ipv6_address(make_client: MakeCentre) -> None:
    async with running_simulator(host="::1") as url:
        assert await make_client(issuer=url).signal("1", {"p1": "End"}, ignore_note) is SignalResult.ACCEPTED


async def test_an_internal_error_is_logged_and_not_raised(
    make_client: MakeCentre, http: HttpClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cxone = make_client()
    await cxone.warm_up()

    async def fail(*_: object) -> None:
        raise RuntimeError("an unforeseen error")

    monkeypatch.setattr(http, "post_for_head", fail)
    assert await cxone.signal("1", {"p1": "very-private"}, ignore_note) is SignalResult.UNKNOWN
    assert not await cxone.post_transcript(record(*TURNS), escalated=True)
    events = [vars(entry).get("event") for entry in caplog.records if entry.levelname == "ERROR"]
    assert events == ["cxone_signal_fault", "cxone_transcript_fault"]
    assert "very-private" not in caplog.text


async def test_the_response_to_a_transcript_does_not_affect_signals(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    cxone = make_client()
    await simulator.fault("transcript", status=503, times=None)
    for _ in range(6):
        assert not await cxone.post_transcript(record(*TURNS), escalated=True)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.ACCEPTED
