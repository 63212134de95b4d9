from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sipbridge.calls.ports.cxone import SignalResult, SignalStopped
from sipbridge.http import HttpClient

from .conftest import MakeCentre
from .support import Simulator, ignore_note, silent_server

CONTACT = "4711000123"
PARAMETERS = {"p1": "Escalate", "p2": "10000002", "p9": "https://bridge.example/pop?a=1&b=ü"}


async def test_parameters_are_sent_in_the_body_by_default(make_client: MakeCentre, simulator: Simulator) -> None:
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    [signal] = await simulator.signals()
    assert signal["contact_id"] == CONTACT
    assert signal["parameters"] == PARAMETERS
    assert signal["in"] == "body"


async def test_parameters_are_sent_in_the_query_if_configured(make_client: MakeCentre, simulator: Simulator) -> None:
    parameters = PARAMETERS | {"p3": "a b+c%20d/é"}
    assert await make_client(parameters_in="query").signal(CONTACT, parameters, ignore_note) is SignalResult.ACCEPTED
    [signal] = await simulator.signals()
    assert signal["parameters"] == parameters
    assert signal["in"] == "query"


@pytest.mark.parametrize("where", ["body", "query"])
async def test_a_signal_may_have_no_parameters(make_client: MakeCentre, simulator: Simulator, where: str) -> None:
    assert await make_client(parameters_in=where).signal(CONTACT, {}, ignore_note) is SignalResult.ACCEPTED
    [signal] = await simulator.signals()
    assert signal["parameters"] == {}


@pytest.mark.parametrize("where", ["body", "query"])
async def test_lone_surrogates_are_sent_as_question_marks(
    make_client: MakeCentre, simulator: Simulator, where: str
) -> None:
    cxone = make_client(parameters_in=where)
    assert await cxone.signal(CONTACT, {"p1": "caf\udce9"}, ignore_note) is SignalResult.ACCEPTED
    [signal] = await simulator.signals()
    assert signal["parameters"] == {"p1": "caf?"}


async def test_the_contact_id_is_trimmed(make_client: MakeCentre, simulator: Simulator) -> None:
    assert await make_client().signal(f" {CONTACT}\t", PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert [signal["contact_id"] for signal in await simulator.signals()] == [CONTACT]


async def test_the_contact_id_is_escaped_in_the_path(make_client: MakeCentre, simulator: Simulator) -> None:
    assert await make_client().signal("1/../2?x#y", PARAMETERS, ignore_note) is SignalResult.REFUSED
    assert await simulator.requests("signal") == {"404": 1}


@pytest.mark.parametrize("contact_id", ["", "  ", "100000000000"])
async def test_a_missing_contact_is_not_signalled(
    make_client: MakeCentre, simulator: Simulator, contact_id: str
) -> None:
    assert await make_client().signal(contact_id, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {}


@pytest.mark.parametrize("result", [SignalResult.DUPLICATE, SignalResult.UNDELIVERED])
async def test_a_signal_that_is_stopped_before_its_first_byte_is_not_sent(
    make_client: MakeCentre, simulator: Simulator, result: SignalResult
) -> None:
    async def stop(_: SignalResult) -> None:
        raise SignalStopped(result)

    cxone = make_client()
    assert await cxone.signal(CONTACT, PARAMETERS, stop) is result
    assert await simulator.requests("signal") == {}
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_these_statuses_mean_accepted(make_client: MakeCentre, simulator: Simulator, status: int) -> None:
    await simulator.fault("signal", status=status)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert await simulator.requests("signal") == {str(status): 1}


@pytest.mark.parametrize("status", [301, 307, 400, 404, 405, 409, 413, 422])
async def test_a_refusal_is_final_and_redirects_are_not_followed(
    make_client: MakeCentre, simulator: Simulator, status: int
) -> None:
    await simulator.fault("signal", status=status)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.REFUSED
    assert await simulator.requests("signal") == {str(status): 1}


@pytest.mark.parametrize("status", [206, 500, 501, 502, 504])
async def test_a_signal_that_may_have_arrived_is_unknown_and_not_repeated(
    make_client: MakeCentre, simulator: Simulator, status: int
) -> None:
    await simulator.fault("signal", status=status)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNKNOWN
    assert await simulator.requests("signal") == {str(status): 1}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_replaced_and_the_signal_repeated(
    make_client: MakeCentre, simulator: Simulator, status: int
) -> None:
    await simulator.fault("signal", status=status)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert await simulator.requests("signal") == {str(status): 1, "202": 1}
    assert await simulator.requests("token") == {"200": 2}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_new_token_is_a_refusal(make_client: MakeCentre, simulator: Simulator, status: int) -> None:
    await simulator.fault("signal", status=status, times=None)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.REFUSED
    assert await simulator.requests("signal") == {str(status): 2}
    assert await simulator.requests("token") == {"200": 2}


async def test_tokens_that_expire_early_cost_no_signal(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client()
    assert await cxone.signal(CONTACT, {"p1": "one"}, ignore_note) is SignalResult.ACCEPTED
    await simulator.fault("signal", expire_tokens=True)
    assert await cxone.signal(CONTACT, {"p1": "two"}, ignore_note) is SignalResult.ACCEPTED
    assert [signal["parameters"]["p1"] for signal in await simulator.signals()] == ["one", "two"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_signal_to_a_busy_cxone_is_repeated(make_client: MakeCentre, simulator: Simulator, status: int) -> None:
    await simulator.fault("signal", status=status)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert await simulator.requests("signal") == {str(status): 1, "202": 1}


async def test_retry_after_is_waited_for(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=503, retry_after=1)
    started_at = time.monotonic()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert time.monotonic() - started_at >= 1


async def test_retry_after_may_be_a_date(make_client: MakeCentre, simulator: Simulator) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    await simulator.fault("signal", status=429, retry_after=soon)
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED


@pytest.mark.parametrize("retry_after", [3, 60, 999_999_999])
async def test_a_retry_after_beyond_the_budget_is_not_waited_for(
    make_client: MakeCentre, simulator: Simulator, retry_after: int
) -> None:
    await simulator.fault("signal", status=503, retry_after=retry_after)
    started_at = time.monotonic()
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert time.monotonic() - started_at < 2.5
    assert await simulator.requests("signal") == {"503": 1}


async def test_an_invalid_retry_after_is_ignored(make_client: MakeCentre, simulator: Simulator) -> None:
    await simulator.fault("signal", status=503, retry_after="when we are done")
    assert await make_client().signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED


async def test_a_signal_to_a_busy_cxone_is_not_repeated_after_the_budget(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    await simulator.fault("signal", status=503, times=None)
    started_at = time.monotonic()
    assert await make_client(budget_seconds=1.0).signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert time.monotonic() - started_at < 2.5
    assert await simulator.requests("signal") == {"503": 3}


async def test_after_a_read_time_out_the_signal_is_not_sent_again(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    cxone = make_client(budget_seconds=0.5)
    await cxone.warm_up()
    await simulator.fault("signal", latency_seconds=60, times=None)
    started_at = time.monotonic()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNKNOWN
    assert 0.4 < time.monotonic() - started_at < 2.5
    assert len(await simulator.signals()) == 1


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("pooled", [False, True])
async def test_after_a_reset_the_signal_is_not_sent_again(
    make_client: MakeCentre, simulator: Simulator, reset: str, *, pooled: bool
) -> None:
    cxone = make_client()
    if pooled:
        assert await cxone.signal("before", PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    await simulator.fault("signal", reset=reset, times=None)
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNKNOWN
    assert (await simulator.requests("signal"))["reset"] == 1
    assert len(await simulator.signals(contact_id=CONTACT)) == (1 if reset == "after" else 0)


async def test_a_silent_server_leaves_the_signal_unknown(make_client: MakeCentre) -> None:
    async with silent_server() as address:
        cxone = make_client(api_url=f"http://{address}", budget_seconds=1.0)
        await cxone.warm_up()
        assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNKNOWN


async def test_a_signal_without_a_connection_is_repeated_and_then_undelivered(
    make_client: MakeCentre, refusing_address: str
) -> None:
    cxone = make_client(api_url=f"http://{refusing_address}", budget_seconds=1.0)
    await cxone.warm_up()
    started_at = time.monotonic()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert 0.5 < time.monotonic() - started_at < 2.5


async def test_a_hanging_tls_handshake_leaves_the_signal_undelivered(make_client: MakeCentre) -> None:
    async with silent_server() as address:
        cxone = make_client(api_url=f"https://{address}", budget_seconds=2.0)
        await cxone.warm_up()
        started_at = time.monotonic()
        assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
        assert time.monotonic() - started_at < 3


async def test_a_failed_tls_handshake_leaves_the_signal_undelivered(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    api_url = simulator.url.replace("http:", "https:")
    cxone = make_client(api_url=api_url, budget_seconds=1.0)
    await cxone.warm_up()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED


async def test_an_unresolved_host_leaves_the_signal_undelivered(make_client: MakeCentre) -> None:
    cxone = make_client(api_url="https://nowhere.invalid", budget_seconds=1.0)
    await cxone.warm_up()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED


@pytest.mark.parametrize("body", ["<html>Sorry</html>", "x" * 10_000_000, "\x00\x01 {"])
async def test_the_body_of_a_response_does_not_matter(make_client: MakeCentre, simulator: Simulator, body: str) -> None:
    await simulator.fault("signal", status=200, body=body)
    await simulator.fault("signal", status=400, body=body)
    cxone = make_client()
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.REFUSED
    assert await cxone.signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.ACCEPTED


async def test_the_budget_covers_a_slow_token(make_client: MakeCentre, simulator: Simulator) -> None:
    await simulator.fault("token", latency_seconds=60)
    started_at = time.monotonic()
    assert await make_client(budget_seconds=0.5).signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert time.monotonic() - started_at < 2.5
    assert await simulator.requests("signal") == {}


async def test_no_attempt_starts_with_too_little_time_left(make_client: MakeCentre, simulator: Simulator) -> None:
    await simulator.fault("token", latency_seconds=0.45)
    assert await make_client(budget_seconds=0.6).signal(CONTACT, PARAMETERS, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {}


async def test_many_signals_at_once_each_arrive_once(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client()
    contacts = [f"c-{number}" for number in range(200)]
    results = await asyncio.gather(*(cxone.signal(contact, PARAMETERS, ignore_note) for contact in contacts))
    assert set(results) == {SignalResult.ACCEPTED}
    assert sorted(signal["contact_id"] for signal in await simulator.signals()) == sorted(contacts)
    assert await simulator.requests("token") == {"200": 1}


async def test_no_caller_data_and_no_secret_is_logged(
    make_client: MakeCentre, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cxone = make_client(parameters_in="query", budget_seconds=0.5)
    for fault in ({"status": 400}, {"status": 503, "retry_after": 9}, {"reset": "before"}, {"latency_seconds": 60}):
        await simulator.fault("signal", **fault)
        await cxone.signal(CONTACT, {"p1": "very-private"}, ignore_note)
    assert [record.getMessage() for record in caplog.records if record.name == "sipbridge.cxone.signal"] == [
        "Signal refused: 400",
        "Signal undelivered: 503",
        "Signal unknown: no response from 127.0.0.1 (ConnectionResetError)",
        "Signal unknown: no response from 127.0.0.1 (TimeoutError)",
    ]
    for secret in ("very-private", "demo-secret", "demo-key-secret", "Bearer"):
        assert secret not in caplog.text
    assert {vars(record).get("contact_id") for record in caplog.records} <= {CONTACT, None}


class _Notes:
    """A `SignalNote` that records each result with the number of Signals that CXone had then."""

    def __init__(self, simulator: Simulator) -> None:
        self.noted: list[tuple[SignalResult, int]] = []
        self._simulator = simulator

    async def __call__(self, result: SignalResult) -> None:
        self.noted.append((result, sum((await self._simulator.requests("signal")).values())))


async def test_a_signal_is_journalled_right_before_its_first_byte(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    await simulator.fault("token", latency_seconds=0.5)
    notes = _Notes(simulator)
    signalling = asyncio.create_task(make_client().signal(CONTACT, PARAMETERS, notes))
    while "200" not in await simulator.requests("token"):
        assert notes.noted == [], "while there is no token a crash leaves a contact that can be signalled"
    assert await signalling is SignalResult.ACCEPTED
    assert notes.noted == [(SignalResult.UNKNOWN, 0)]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_an_undelivered_attempt_is_revoked_before_the_next(
    make_client: MakeCentre, simulator: Simulator, status: int
) -> None:
    await simulator.fault("signal", status=status)
    notes = _Notes(simulator)
    assert await make_client().signal(CONTACT, PARAMETERS, notes) is SignalResult.ACCEPTED
    assert notes.noted == [(SignalResult.UNKNOWN, 0), (SignalResult.UNDELIVERED, 1), (SignalResult.UNKNOWN, 1)]


async def test_a_signal_that_is_not_sent_is_not_journalled(make_client: MakeCentre, refusing_address: str) -> None:
    noted: list[SignalResult] = []

    async def note(result: SignalResult) -> None:
        noted.append(result)

    cxone = make_client(api_url=f"http://{refusing_address}", budget_seconds=0.5)
    assert await cxone.signal(CONTACT, PARAMETERS, note) is SignalResult.UNDELIVERED
    assert SignalResult.UNKNOWN not in noted


async def test_a_connection_that_closes_during_the_journal_write_is_replaced_after_a_revocation(
    make_client: MakeCentre, simulator: Simulator, http: HttpClient
) -> None:
    """If the bridge crashes while it opens the other connection, the contact can still be signalled."""
    cxone = make_client()
    await cxone.signal(CONTACT, {}, ignore_note)
    noted: list[SignalResult] = []

    async def note(result: SignalResult) -> None:
        if not noted:
            await http.close()
        noted.append(result)

    assert await cxone.signal(CONTACT, {}, note) is SignalResult.ACCEPTED
    assert noted == [SignalResult.UNKNOWN, SignalResult.UNDELIVERED, SignalResult.UNKNOWN]
    assert len(await simulator.signals()) == 2


async def test_a_signal_is_not_sent_if_every_connection_closes_during_the_journal_write(
    make_client: MakeCentre, simulator: Simulator, http: HttpClient
) -> None:
    cxone = make_client(budget_seconds=0.5)
    await cxone.warm_up()

    async def note(result: SignalResult) -> None:
        if result is SignalResult.UNKNOWN:
            await http.close()

    assert await cxone.signal(CONTACT, {}, note) is SignalResult.UNDELIVERED
    assert await simulator.signals() == []


async def test_a_slow_journal_write_leaves_the_signal_unsent(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client(budget_seconds=0.5)
    await cxone.warm_up()

    async def note(result: SignalResult) -> None:
        if result is SignalResult.UNKNOWN:
            await asyncio.sleep(0.3)

    assert await cxone.signal(CONTACT, {}, note) is SignalResult.UNDELIVERED
    assert await simulator.signals() == []
