from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import jwt
import pytest

from sipbridge.calls.events import TokenRequested
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cxone.tokens import TokenSource
from sipbridge.errors import CxoneError
from sipbridge.handoffs.outcome import Result
from sipbridge.http import HttpClient
from sipbridge.simulators.cxone import DEMO_TENANT, running_simulator

from .conftest import MakeCentre
from .support import Clock, Recorder, Simulator, config_for, ignore_note

OTHER_TENANT = DEMO_TENANT.model_copy(
    update={
        "tenant_id": "other-tenant",
        "business_unit": "4511111",
        "access_key_id": "other-key",
        "access_key_secret": "other-key-secret",
    }
)


@pytest.fixture
async def tokens(
    simulator: Simulator, http: HttpClient, recorder: Recorder, clock: Clock
) -> AsyncIterator[TokenSource]:
    source = TokenSource("acme", config_for(simulator.url), http, recorder, clock=clock)
    yield source
    await source.close()


async def test_a_token_comes_with_the_address_of_the_api(tokens: TokenSource, simulator: Simulator) -> None:
    access = await tokens.get()
    assert access.token
    assert access.api_url == simulator.url
    assert access.token not in repr(access)


async def test_concurrent_requests_share_one_token_request(tokens: TokenSource, simulator: Simulator) -> None:
    accesses = await asyncio.gather(*(tokens.get() for _ in range(100)))
    assert len({access.token for access in accesses}) == 1
    assert await simulator.requests("token") == {"200": 1}


async def test_a_cancelled_waiter_does_not_cancel_the_token_request(tokens: TokenSource, simulator: Simulator) -> None:
    await simulator.fault("token", latency_seconds=0.3)
    waiters = [asyncio.create_task(tokens.get()) for _ in range(2)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.gather(waiters[0])
    assert (await waiters[1]).token
    assert await simulator.requests("token") == {"200": 1}


async def test_a_token_is_kept_until_ten_minutes_before_its_end(
    tokens: TokenSource, simulator: Simulator, clock: Clock
) -> None:
    first = await tokens.get()
    clock.advance(2999)
    assert await tokens.get() is first
    assert await simulator.requests("token") == {"200": 1}


async def test_renewal_delays_no_request(
    tokens: TokenSource, simulator: Simulator, clock: Clock, recorder: Recorder
) -> None:
    first = await tokens.get()
    clock.advance(3001)
    assert tokens.current() is first
    assert await tokens.get() is first
    await recorder.until(2)
    assert await tokens.get() is not first
    assert await simulator.requests("token") == {"200": 2}


async def test_the_old_token_is_used_while_renewal_fails_and_is_retried(
    tokens: TokenSource, simulator: Simulator, clock: Clock, recorder: Recorder
) -> None:
    first = await tokens.get()
    await simulator.fault("token", status=500)
    clock.advance(3001)
    assert await tokens.get() is first
    await recorder.until(2)
    assert await tokens.get() is first
    assert await simulator.requests("token") == {"200": 1, "500": 1}

    clock.advance(10)
    assert await tokens.get() is first
    await recorder.until(3)
    assert await tokens.get() is not first
    assert recorder.token_results() == [Result.SUCCESS, Result.UPSTREAM_ERROR, Result.SUCCESS]


async def test_an_expired_token_is_not_used(tokens: TokenSource, simulator: Simulator, clock: Clock) -> None:
    first = await tokens.get()
    clock.advance(3600)
    assert tokens.current() is None
    await simulator.fault("token", status=500)
    with pytest.raises(CxoneError):
        await tokens.get()
    assert await tokens.get() is not first


async def test_a_short_lived_token_is_kept_for_most_of_its_life(
    http: HttpClient, recorder: Recorder, clock: Clock
) -> None:
    async with running_simulator(token_seconds=60) as url:
        tokens = TokenSource("acme", config_for(url), http, recorder, clock=clock)
        first = await tokens.get()
        clock.advance(49)
        assert await tokens.get() is first
        assert len(recorder.events) == 1
        clock.advance(2)
        assert await tokens.get() is first
        await recorder.until(2)
        assert await tokens.get() is not first


async def test_only_the_token_in_use_is_dropped(tokens: TokenSource, simulator: Simulator) -> None:
    first = await tokens.get()
    tokens.drop(first)
    second = await tokens.get()
    assert second is not first
    tokens.drop(first)
    assert await tokens.get() is second
    assert await simulator.requests("token") == {"200": 2}


async def test_clients_never_share_a_token(make_client: MakeCentre) -> None:
    async with running_simulator([DEMO_TENANT, OTHER_TENANT]) as url, aiohttp.ClientSession() as control:
        ours, theirs = make_client("ours", issuer=url), make_client("theirs", issuer=url, tenant=OTHER_TENANT)
        for _ in range(2):
            results = await asyncio.gather(
                ours.signal("our-contact", {}, ignore_note), theirs.signal("their-contact", {}, ignore_note)
            )
            assert set(results) == {SignalResult.ACCEPTED}
        signals = await Simulator(url, control).signals()
    assert len(signals) == 4
    assert {(signal["contact_id"], signal["tenant"]) for signal in signals} == {
        ("our-contact", "demo-tenant"),
        ("their-contact", "other-tenant"),
    }


@pytest.mark.parametrize("wrong", ["client_id", "client_secret", "access_key_id", "access_key_secret"])
async def test_wrong_credentials_are_tried_once_and_are_a_client_error(
    make_client: MakeCentre, simulator: Simulator, recorder: Recorder, wrong: str
) -> None:
    assert await make_client(**{wrong: "wrong"}).signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    [event] = recorder.events
    assert isinstance(event, TokenRequested)
    assert (event.client, event.result) == ("acme", Result.CLIENT_ERROR)
    assert sum((await simulator.requests("token")).values()) == 1


async def test_the_message_says_what_to_check_and_no_secret(
    make_client: MakeCentre, caplog: pytest.LogCaptureFixture
) -> None:
    await make_client(access_key_secret="not-the-right-one").warm_up()
    assert "check cxone.access_key_id and cxone.access_key_secret" in caplog.text
    assert "not-the-right-one" not in caplog.text
    assert {vars(record).get("client") for record in caplog.records if record.name.startswith("sipbridge")} == {"acme"}


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": 1}, {"reset": "before"}])
async def test_a_token_request_is_repeated_after_a_transient_failure(
    tokens: TokenSource, simulator: Simulator, fault: dict[str, object]
) -> None:
    await simulator.fault("token", **fault)
    assert (await tokens.get()).token


async def test_the_retry_after_of_the_token_endpoint_is_respected(
    tokens: TokenSource, simulator: Simulator, clock: Clock
) -> None:
    await simulator.fault("token", status=503, retry_after=30)
    for _ in range(2):
        with pytest.raises(CxoneError):
            await tokens.get()
    assert await simulator.requests("token") == {"503": 1}
    clock.advance(30)
    assert (await tokens.get()).token


@pytest.mark.parametrize(
    "body",
    [
        "<html>Sorry</html>",
        "[]",
        "{}",
        '{"access_token": ""}',
        '{"access_token": 5}',
        '{"access_token": "a\\r\\nX-Evil: 1"}',
        '{"access_token": "a"}',
        '{"access_token": "a", "id_token": "no.jwt"}',
        '{"access_token": "a", "pad": "' + 70_000 * "x" + '"}',
    ],
)
async def test_a_response_without_a_token_is_an_upstream_error(
    tokens: TokenSource, simulator: Simulator, recorder: Recorder, body: str
) -> None:
    await simulator.fault("token", body=body, times=None)
    with pytest.raises(CxoneError):
        await tokens.get()
    assert recorder.token_results() == [Result.UPSTREAM_ERROR]


Response = dict[str, object]


def payload_alone(token: str) -> str:
    return ".".join(token.split(".")[:2])


@pytest.mark.parametrize(
    ("change", "lifetime"),
    [
        ({"expires_in": None}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": " 1800.5 "}, 1800.5),
        ({"expires_in": 1200.0}, 1200),
        ({"expires_in": "soon"}, 3600),
        ({"expires_in": ""}, 3600),
        ({"expires_in": True}, 3600),
        ({"expires_in": [60]}, 3600),
        ({"expires_in": float("nan")}, 3600),
        ({"expires_in": 0}, 30),
        ({"expires_in": -1}, 30),
        ({"expires_in": 10**400}, 3600),
        ({"expires_in": float("inf")}, 86_400),
        ({"expires_in": 10**12}, 86_400),
        ({"token_type": "BEARER", "refresh_token": None, "unheard_of": {"a": [1, None]}}, 3600),
        ({"access_token": " t \n"}, 3600),
        ({"pad": "\ud800"}, 3600),
    ],
)
async def test_odd_fields_do_not_invalidate_the_token(
    tokens: TokenSource, simulator: Simulator, clock: Clock, change: Response, lifetime: float
) -> None:
    body = json.dumps({"access_token": "t", "id_token": simulator_id_token(simulator), **change})
    await simulator.fault("token", body=body)
    access = await tokens.get()
    assert (access.token, access.expires_at - clock.now) == ("t", lifetime)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: f"{payload_alone(token)}.not base64 at all!",
        lambda token: f"{payload_alone(token)}.",
        payload_alone,
        lambda token: f"\n {token} ",
        lambda token: ".".join(part + "=" * (-len(part) % 4) for part in token.split(".")),
        lambda token: f"???.{token.split('.')[1]}.???",
    ],
)
async def test_only_the_payload_of_an_id_token_is_read(
    tokens: TokenSource, simulator: Simulator, spoil: Callable[[str], str]
) -> None:
    await simulator.fault(
        "token", body=json.dumps({"access_token": "t", "id_token": spoil(simulator_id_token(simulator))})
    )
    assert (await tokens.get()).api_url == simulator.url


@pytest.mark.parametrize("given", [None, "", 7, {"a": 1}, "no.jwt"])
async def test_an_id_token_that_is_not_needed_is_not_read(
    simulator: Simulator, http: HttpClient, recorder: Recorder, given: object
) -> None:
    await simulator.fault("token", body=json.dumps({"access_token": "t", "id_token": given}))
    source = TokenSource("acme", config_for(simulator.url, api_url=simulator.url), http, recorder)
    assert (await source.get()).token == "t"


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json"])
@pytest.mark.parametrize(("before", "behind"), [("\ufeff", ""), ("\ufeff \r\n", "\r\n"), ("", "\n\n")])
async def test_a_byte_order_mark_and_blanks_around_json_are_ignored(
    tokens: TokenSource, simulator: Simulator, before: str, behind: str, content_type: str
) -> None:
    responses = {
        "discovery": {"token_endpoint": f"{simulator.url}/auth/token"},
        "token": {"access_token": "t", "id_token": simulator_id_token(simulator)},
        "configuration": {"api_endpoint": f" {simulator.url}/ "},
    }
    for endpoint, response in responses.items():
        await simulator.fault(endpoint, body=f"{before}{json.dumps(response)}{behind}", content_type=content_type)
    access = await tokens.get()
    assert (access.token, access.api_url) == ("t", simulator.url)


def simulator_id_token(simulator: Simulator) -> str:
    claims = {"iss": simulator.url, "tenantId": DEMO_TENANT.tenant_id, "icBUId": 4599999}
    return jwt.encode(claims, "an unchecked key of 32 bytes length", algorithm="HS256")


async def test_closing_ends_the_requests_that_wait(tokens: TokenSource, simulator: Simulator) -> None:
    await simulator.fault("token", latency_seconds=60)
    waiter = asyncio.create_task(tokens.get())
    await asyncio.sleep(0)
    await tokens.close()
    with pytest.raises(CxoneError, match="bridge is stopping"):
        await waiter


async def test_warm_up_fetches_the_token_before_the_first_call(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client()
    await cxone.warm_up()
    assert await simulator.requests("token") == {"200": 1}
    await cxone.signal("1", {}, ignore_note)
    assert await simulator.requests("token") == {"200": 1}


async def test_warm_up_only_warns_if_cxone_is_unreachable(
    make_client: MakeCentre, refusing_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    started_at = time.monotonic()
    await make_client(issuer=f"http://{refusing_address}").warm_up()
    assert time.monotonic() - started_at < 5
    assert "CXone not usable yet" in caplog.text
