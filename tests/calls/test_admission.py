from __future__ import annotations

import pytest

from sipbridge.calls.admission import Admission, SourceRates
from sipbridge.calls.model import Identity, Invite
from sipbridge.calls.routing import identify
from sipbridge.config import ClientConfig, Config, ProjectConfig
from sipbridge.errors import (
    BadContactId,
    CapacityReached,
    Draining,
    InviteRefused,
    MalformedInvite,
    RateExceeded,
    TokenRefused,
    UntrustedSource,
)
from tests.calls.world import CONTACT, admission_of, make_config, make_invite, version_of


class Clock:
    """A monotonic clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _door(clock: Clock | None = None, **sip: object) -> Admission:
    return admission_of(make_config(sip=sip), clock or Clock())


def test_an_invite_that_is_let_in_takes_a_place() -> None:
    door = _door()
    admitted = door.admit(make_invite())
    assert admitted.identity.contact_id == CONTACT
    assert (admitted.identity.client, admitted.identity.project) == ("acme", "billing")
    assert door.active == 1


def test_every_call_gets_an_id_of_its_own() -> None:
    door = _door()
    assert len({door.admit(make_invite()).identity.call_id for _ in range(20)}) == 20


def test_conditions_are_judged_in_the_contracts_order() -> None:
    """Everything is wrong with the INVITE; each thing put right shows the next."""
    clock = Clock()
    door = _door(clock, trusted_sources=["10.0.0.0/8"], max_calls=1, max_calls_per_second=1)
    bad = {"malformed": "cut short", "X_Auth_Token": "wrong", "X_InContact_ContactId": "no/id"}
    refusals: list[type[InviteRefused]] = []

    def judge(**changes: str) -> None:
        with pytest.raises(InviteRefused) as refused:
            door.admit(make_invite(**{"source": "10.1.1.1", **bad, **changes}))
        refusals.append(refused.type)

    door.admit(make_invite(source="10.1.1.1"))
    door.draining = True
    judge(source="192.0.2.1")
    judge()
    clock.now += 1
    judge()
    door.draining = False
    clock.now += 1
    judge()
    door = _door(clock, trusted_sources=["10.0.0.0/8"])
    judge()
    del bad["malformed"]
    judge()
    del bad["X_Auth_Token"]
    judge()
    assert refusals == [
        UntrustedSource,
        RateExceeded,
        Draining,
        CapacityReached,
        MalformedInvite,
        TokenRefused,
        BadContactId,
    ]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UntrustedSource, 403, "untrusted_source"),
        (RateExceeded, 503, "rate_exceeded"),
        (Draining, 503, "draining"),
        (CapacityReached, 503, "capacity"),
        (MalformedInvite, 400, "malformed"),
        (TokenRefused, 403, "token_refused"),
        (BadContactId, 400, "bad_contact_id"),
    ],
)
def test_a_refusal_has_the_contracts_answer(error: type[InviteRefused], status: int, reason: str) -> None:
    assert (error.sip_status, error.reason) == (status, reason)
    assert (error.retry_after_seconds is not None) is (status == 503)


@pytest.mark.parametrize("changes", [{"malformed": "cut short"}, {"X_Auth_Token": ""}, {"X_InContact_ContactId": ""}])
def test_a_refused_invite_takes_no_place(changes: dict[str, str]) -> None:
    door = _door()
    with pytest.raises(InviteRefused):
        door.admit(make_invite(**changes))
    assert door.active == 0


def test_a_place_given_back_is_free_again() -> None:
    door = _door(max_calls=2)
    first, _ = door.admit(make_invite()), door.admit(make_invite())
    with pytest.raises(CapacityReached):
        door.admit(make_invite())
    door.release(first.identity.call_id)
    door.admit(make_invite())
    assert door.active == 2


def test_the_door_tells_when_it_is_full() -> None:
    door = _door(max_calls=2)
    seen = []
    for _ in range(2):
        seen.append(door.full)
        door.admit(make_invite())
    assert [*seen, door.full] == [False, False, True]


def test_a_place_given_back_twice_counts_once() -> None:
    door = _door(max_calls=2)
    first, _ = door.admit(make_invite()), door.admit(make_invite())
    door.release(first.identity.call_id)
    door.release(first.identity.call_id)
    door.release("a call that never was")
    assert door.active == 1


def test_calls_that_are_up_stay_while_draining() -> None:
    door = _door()
    door.admit(make_invite())
    door.draining = True
    assert door.active == 1


@pytest.mark.parametrize(
    ("source", "trusted"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("10.1.2.3.example.net", False),
        ("", False),
    ],
)
def test_trust_is_a_matter_of_networks(source: str, trusted: bool) -> None:  # noqa: FBT001 (a parameter of the table)
    door = _door(trusted_sources=["10.1.0.0/16", "2001:db8::/32"])
    assert door.trusts(source) is trusted


# ---------------------------------------------------------------- the token bucket


def test_a_source_may_send_a_seconds_worth_at_once_and_no_more() -> None:
    rates = SourceRates(3, Clock())
    assert [rates.take("a") for _ in range(5)] == [True, True, True, False, False]


def test_a_bucket_fills_at_its_rate_and_not_over_the_brim() -> None:
    clock = Clock()
    rates = SourceRates(4, clock)
    while rates.take("a"):
        pass
    clock.now += 0.5
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [rates.take("a") for _ in range(5)] == [True, True, True, True, False]


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    rates = SourceRates(1, clock)
    assert rates.take("a")
    for _ in range(8):
        clock.now += 0.0625
        assert not rates.take("a")
    clock.now += 0.5
    assert rates.take("a")


def test_sources_have_a_bucket_each() -> None:
    rates = SourceRates(1, Clock())
    assert rates.take("a")
    assert rates.take("b")
    assert not rates.take("a")


def test_a_flood_of_sources_is_forgotten_the_quietest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.calls.admission._MAX_SOURCES", 2)
    rates = SourceRates(1, Clock())
    assert rates.take("quiet")
    assert rates.take("busy")
    assert not rates.take("busy")
    assert rates.take("new")
    assert not rates.take("busy")
    assert rates.take("quiet")


def test_a_stranger_cannot_use_up_the_rate() -> None:
    door = _door(max_calls_per_second=1, trusted_sources=["10.0.0.0/8"])
    for _ in range(3):
        with pytest.raises(UntrustedSource):
            door.admit(make_invite(source="192.0.2.1"))
    door.admit(make_invite(source="10.0.0.1"))


# ---------------------------------------------------------------- overload, and another reading of the configuration


def test_while_calls_in_progress_are_kept_waiting_no_new_one_is_let_in() -> None:
    admission = admission_of(make_config())
    admission.overloaded = lambda: True
    with pytest.raises(CapacityReached):
        admission.admit(make_invite())
    assert admission.active == 0
    admission.overloaded = lambda: False
    assert admission.admit(make_invite())


def test_another_reading_goes_from_the_next_invite_on() -> None:
    old, new = make_config(), make_config(auth_token="another", sip={"trusted_sources": ["192.0.2.0/24"]})
    admission = admission_of(old)
    before = admission.admit(make_invite())
    admission.use(version_of(new))
    with pytest.raises(UntrustedSource):
        admission.admit(make_invite(X_Auth_Token="another"))
    with pytest.raises(TokenRefused):
        admission.admit(make_invite(source="192.0.2.7"))
    after = admission.admit(make_invite(source="192.0.2.7", X_Auth_Token="another"))
    assert (before.version.config, after.version.config) == (old, new)
    assert admission.versions_in_use() == {before.version, after.version}
    admission.release(before.identity.call_id)
    assert admission.versions_in_use() == {after.version}


def test_another_reading_gives_no_source_a_new_bucket_unless_the_rate_has_changed() -> None:
    clock = [0.0]
    admission = admission_of(make_config(sip={"max_calls_per_second": 1}), lambda: clock[0])
    admission.admit(make_invite())
    admission.use(version_of(make_config(sip={"max_calls_per_second": 1})))
    with pytest.raises(RateExceeded):
        admission.admit(make_invite())
    admission.use(version_of(make_config(sip={"max_calls_per_second": 2})))
    assert admission.admit(make_invite())


def test_before_the_first_configuration_is_loaded_no_call_is_admitted() -> None:
    admission = Admission(make_config())
    with pytest.raises(CapacityReached, match="starting"):
        admission.admit(make_invite())
    assert admission.active == 0


def test_a_version_that_is_replaced_while_an_invite_is_judged_is_not_the_one_it_is_admitted_under(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it might be freed before its use is noted: the two happen on two threads."""
    old, new = make_config(), make_config()
    admission = admission_of(old)

    def replaced(config: Config, invite: Invite, call_id: str) -> tuple[Identity, ClientConfig, ProjectConfig]:
        if config is old:
            admission.use(version_of(new))
            assert admission.versions_in_use() == set()
        return identify(config, invite, call_id)

    monkeypatch.setattr("sipbridge.calls.admission.identify", replaced)
    admitted = admission.admit(make_invite())
    assert admitted.version.config is new
    assert admission.versions_in_use() == {admitted.version}
    assert admission.active == 1
