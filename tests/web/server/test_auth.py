from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from sipbridge.chats.registry import ChatRegistry
from sipbridge.errors import RequestRefused
from sipbridge.web.server.auth import Authenticator
from sipbridge.web.server.guesses import GUESSES_PER_SECOND, Guesses
from sipbridge.web.server.slots import Slots
from tests.harness.texts import texts_within
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import KEY, OTHER_KEY, SALES_KEY, FakeDirectory, make_config

PATHS = ["handoff_state?id=call-1", "handoff_state?id=none", "calls", "calls/call-1", "calls/none", "events"]


@pytest.fixture(autouse=True)
async def stored(bridge: Bridge) -> None:
    await bridge.store.put(make_record(handoff=make_handoff()))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("wrong", 401), ("caf\xe9", 401), (SALES_KEY, 403), (OTHER_KEY, 403)]
)
async def test_a_wrong_key_is_401_and_another_projects_key_403_on_any_path(
    bridge: Bridge, path: str, key: str | None, status: int
) -> None:
    found, body = await bridge.get(path, key)
    assert found == status
    assert body["code"] == {401: "invalid_api_key", 403: "wrong_project"}[status]


async def test_neither_status_reveals_if_the_call_exists(bridge: Bridge) -> None:
    for key in ("wrong", SALES_KEY):
        assert await bridge.get("calls/call-1", key) == await bridge.get("calls/none", key)


@pytest.mark.parametrize("project", ["/v1/nobody/billing", "/v1/acme/nothing", "/v1/%00/%FF"])
async def test_an_unknown_project_looks_like_another_clients(bridge: Bridge, project: str) -> None:
    for key in ("wrong", OTHER_KEY):
        unknown = await bridge.get(f"{project}/calls", key)
        assert unknown == await bridge.get("/v1/acme/sales/calls", key)


async def test_the_key_of_the_project_is_accepted(bridge: Bridge) -> None:
    status, _ = await bridge.get("calls/call-1", KEY)
    assert status == 200


@pytest.mark.parametrize("action", ["handoff", "hangup", "turns"])
async def test_call_control_needs_the_key(bridge: Bridge, action: str) -> None:
    call = bridge.directory.add(make_record("live"))
    for key, status in (("wrong", 401), (SALES_KEY, 403)):
        assert (await bridge.post(f"calls/live/{action}", key, body=b"{broken"))[0] == status
    assert (call.requests, call.hung_up, call.turns) == ([], False, [])


async def test_a_call_in_progress_keeps_the_keys_that_it_began_with(bridge: Bridge) -> None:
    bridge.directory.add(make_record("live")).key = "key-of-yesterday"
    bridge.directory.add(make_record("newer"))
    assert (await bridge.get("calls/live", "key-of-yesterday"))[0] == 200
    assert (await bridge.post("calls/live/handoff", "key-of-yesterday"))[0] == 202
    for path in ("calls/newer", "calls/none", "calls", "handoff_state?id=live"):
        assert (await bridge.get(path, "key-of-yesterday"))[0] == 401


async def test_keys_are_those_of_the_current_configuration(bridge: Bridge) -> None:
    bridge.config = bridge.config.model_copy(update={"clients": {"acme": bridge.config.clients["other"]}})
    assert (await bridge.get("calls", KEY))[0] == 401
    assert (await bridge.get("calls", OTHER_KEY))[0] == 200


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Requests:
    """Requests to an authenticator with a fake clock; `status_of` returns the status of the error, or 200."""

    def __init__(self, per_second: int = 3) -> None:
        self.clock = Clock()
        self.config = make_config(max_requests_per_second=per_second)
        self.authenticator = Authenticator(
            lambda: self.config,
            FakeDirectory(),
            ChatRegistry(),
            lambda *_: None,
            Guesses(self.clock),
            Slots(),
            admin_from_anywhere=False,
            clock=self.clock,
        )

    def status_of(self, key: str | None, source: str = "192.0.2.1", project: str = "billing") -> int:
        headers = {"x-api-key": key} if key is not None else {}
        path = {"account_id": "acme", "project_id": project}
        request = make_mocked_request("GET", "/", headers, match_info=path).clone(remote=source)
        request._match_info = path  # type: ignore[assignment]  # noqa: SLF001 (`clone` does not copy it)
        try:
            self.authenticator.authorize_project(request)
        except RequestRefused as refusal:
            return refusal.http_status
        return 200


def test_a_key_is_limited_to_its_requests_per_second() -> None:
    asker = Requests(per_second=3)
    assert [asker.status_of(KEY) for _ in range(5)] == [200, 200, 200, 429, 429]
    assert asker.status_of(SALES_KEY, project="sales") == 200, "another key has its own"
    assert asker.status_of(KEY, source="192.0.2.2") == 429, "wherever it comes from"
    asker.clock.now += 1
    assert [asker.status_of(KEY) for _ in range(4)] == [200, 200, 200, 429]


def test_requests_for_another_project_count_as_well() -> None:
    asker = Requests(per_second=2)
    assert [asker.status_of(SALES_KEY) for _ in range(4)] == [403, 403, 429, 429]


def test_a_changed_rate_applies_after_the_reload() -> None:
    asker = Requests(per_second=1)
    assert [asker.status_of(KEY) for _ in range(2)] == [200, 429]
    asker.config = make_config(max_requests_per_second=2)
    assert [asker.status_of(KEY) for _ in range(3)] == [200, 200, 429]


def test_guesses_are_limited_per_address() -> None:
    asker = Requests()
    guesses = [asker.status_of(f"guess-{n}") for n in range(2 * GUESSES_PER_SECOND)]
    assert guesses == [401] * GUESSES_PER_SECOND + [429] * GUESSES_PER_SECOND
    assert asker.status_of("guess", source="192.0.2.2") == 401
    asker.clock.now += 1
    assert asker.status_of("guess") == 401


def test_addresses_of_one_ipv6_network_share_the_limit_on_guesses() -> None:
    asker = Requests()
    guesses = [asker.status_of(f"guess-{n}", source=f"2001:db8::{n:x}") for n in range(GUESSES_PER_SECOND + 1)]
    assert guesses == [401] * GUESSES_PER_SECOND + [429]
    assert asker.status_of("guess", source="2001:db8:0:1::1") == 401, "another /64"
    mapped = [asker.status_of(f"guess-{n}", source="::ffff:192.0.2.9") for n in range(GUESSES_PER_SECOND)]
    assert mapped == [401] * GUESSES_PER_SECOND
    assert asker.status_of("guess", source="192.0.2.9") == 429, "the same address, over a socket of IPv4"


def test_a_valid_key_among_too_many_guesses_gets_429_too() -> None:
    asker = Requests()
    for n in range(2 * GUESSES_PER_SECOND):
        asker.status_of(f"guess-{n}")
    assert asker.status_of(KEY) == 429


def test_a_key_in_use_works_while_others_guess_from_its_address() -> None:
    asker = Requests(per_second=100)
    assert asker.status_of(KEY) == 200
    assert [asker.status_of(f"guess-{n}") for n in range(2 * GUESSES_PER_SECOND)][-1] == 429
    assert asker.status_of(KEY) == 200


def test_guesses_are_logged_at_intervals_and_never_quoted(caplog: pytest.LogCaptureFixture) -> None:
    asker = Requests()
    for n in range(500):
        asker.status_of(f"guess-{n}")
    [line] = caplog.records
    assert (line.getMessage(), line.__dict__["source"]) == (
        "too many wrong keys or tokens from one address",
        "192.0.2.1",
    )


def test_keys_are_kept_as_hashes_only() -> None:
    asker = Requests()
    asker.status_of(KEY)
    assert KEY not in texts_within(vars(asker.authenticator))


async def test_too_many_requests_get_a_retry_after(bridge: Bridge) -> None:
    bridge.config = make_config(max_requests_per_second=1)
    responses = [await request(bridge) for _ in range(5)]
    assert responses[0] == (200, None)
    assert (429, "1") in responses


async def request(bridge: Bridge) -> tuple[int, str | None]:
    async with bridge.session.get(bridge.url("calls"), headers={"x-api-key": KEY}) as response:
        return response.status, response.headers.get("Retry-After")


async def test_health_and_metrics_have_no_rate_limit(bridge: Bridge) -> None:
    bridge.config = make_config(max_requests_per_second=1)
    for path in ("/healthz", "/readyz", "/openapi.json") * 20:
        assert (await bridge.get(path, key="guess"))[0] == 200
