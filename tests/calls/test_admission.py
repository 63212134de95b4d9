from __future__ import annotations

import pytest

from sipbridge.calls.admission import Admission
from sipbridge.calls.model import Identity, Invite
from sipbridge.calls.routing import identify
from sipbridge.config import ClientConfig, Config, VoiceProjectConfig
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
from tests.calls.world import CONTACT, admission_of, admit, make_config, make_invite, version_of
from tests.fakes import FakeBackpressure


class Clock:
    """A monotonic clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _admission(clock: Clock | None = None, **sip: object) -> Admission:
    return admission_of(make_config(sip=sip), clock or Clock())


def test_an_admitted_invite_takes_a_slot() -> None:
    admission = _admission()
    admitted = admit(admission, make_invite())
    assert admitted.identity.contact_id == CONTACT
    assert (admitted.identity.client, admitted.identity.project) == ("acme", "billing")
    assert admission.active == 1


def test_every_call_gets_its_own_id() -> None:
    admission = _admission()
    assert len({admit(admission, make_invite()).identity.call_id for _ in range(20)}) == 20


def test_conditions_are_checked_in_the_contracts_order() -> None:
    """An INVITE fails every condition; each one that is put right shows the next."""
    clock = Clock()
    admission = _admission(clock, trusted_sources=["10.0.0.0/8"], max_calls=1, max_calls_per_second=1)
    bad = {"malformed": "cut short", "X_Auth_Token": "wrong", "X_InContact_ContactId": "no/id"}
    rejections: list[type[InviteRefused]] = []

    def reject(**changes: str) -> None:
        with pytest.raises(InviteRefused) as rejected:
            admit(admission, make_invite(**{"source": "10.1.1.1", **bad, **changes}))
        rejections.append(rejected.type)

    admit(admission, make_invite(source="10.1.1.1"))
    admission.draining = True
    reject(source="192.0.2.1")
    reject()
    clock.now += 1
    reject()
    admission.draining = False
    clock.now += 1
    reject()
    admission = _admission(clock, trusted_sources=["10.0.0.0/8"])
    reject()
    del bad["malformed"]
    reject()
    del bad["X_Auth_Token"]
    reject()
    assert rejections == [
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
def test_a_rejection_has_the_contracts_response(error: type[InviteRefused], status: int, reason: str) -> None:
    assert (error.sip_status, error.reason) == (status, reason)
    assert (error.retry_after_seconds is not None) is (status == 503)


@pytest.mark.parametrize("changes", [{"malformed": "cut short"}, {"X_Auth_Token": ""}, {"X_InContact_ContactId": ""}])
def test_a_rejected_invite_takes_no_slot(changes: dict[str, str]) -> None:
    admission = _admission()
    with pytest.raises(InviteRefused):
        admit(admission, make_invite(**changes))
    assert admission.active == 0


def test_a_released_slot_is_free_again() -> None:
    admission = _admission(max_calls=2)
    first, _ = admit(admission, make_invite()), admit(admission, make_invite())
    with pytest.raises(CapacityReached):
        admit(admission, make_invite())
    admission.release(first.identity.call_id)
    admit(admission, make_invite())
    assert admission.active == 2


def test_admission_is_full_with_max_calls_in_progress() -> None:
    admission = _admission(max_calls=2)
    seen = []
    for _ in range(2):
        seen.append(admission.full)
        admit(admission, make_invite())
    assert [*seen, admission.full] == [False, False, True]


def test_a_slot_released_twice_counts_once() -> None:
    admission = _admission(max_calls=2)
    first, _ = admit(admission, make_invite()), admit(admission, make_invite())
    admission.release(first.identity.call_id)
    admission.release(first.identity.call_id)
    admission.release("a call that never was")
    assert admission.active == 1


def test_a_drain_keeps_the_slots_of_calls_in_progress() -> None:
    admission = _admission()
    admit(admission, make_invite())
    admission.draining = True
    assert admission.active == 1


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
def test_a_source_is_trusted_by_its_network(source: str, trusted: bool) -> None:  # noqa: FBT001 (a parameter of the table)
    admission = _admission(trusted_sources=["10.1.0.0/16", "2001:db8::/32"])
    assert admission.trusts(source) is trusted


def test_an_untrusted_source_does_not_use_up_the_rate() -> None:
    admission = _admission(max_calls_per_second=1, trusted_sources=["10.0.0.0/8"])
    for _ in range(3):
        with pytest.raises(UntrustedSource):
            admit(admission, make_invite(source="192.0.2.1"))
    admit(admission, make_invite(source="10.0.0.1"))


# ---------------------------------------------------------------- overload, and configuration versions


def test_no_call_is_admitted_during_an_overload() -> None:
    admission = admission_of(make_config())
    load = FakeBackpressure(is_overloaded=True)
    with pytest.raises(CapacityReached, match="have to wait"):
        admit(admission, make_invite(), load)
    assert admission.active == 0
    load.is_overloaded = False
    assert admit(admission, make_invite(), load)


def test_no_call_is_admitted_without_resources_and_the_error_names_the_shortage() -> None:
    admission = admission_of(make_config())
    with pytest.raises(CapacityReached, match="no two RTP ports are free"):
        admit(admission, make_invite(), FakeBackpressure(missing="no two RTP ports are free"))
    assert admission.active == 0


def test_a_new_version_applies_from_the_next_invite_on() -> None:
    old, new = make_config(), make_config(auth_token="another", sip={"trusted_sources": ["192.0.2.0/24"]})
    admission = admission_of(old)
    before = admit(admission, make_invite())
    admission.use(version_of(new))
    with pytest.raises(UntrustedSource):
        admit(admission, make_invite(X_Auth_Token="another"))
    with pytest.raises(TokenRefused):
        admit(admission, make_invite(source="192.0.2.7"))
    after = admit(admission, make_invite(source="192.0.2.7", X_Auth_Token="another"))
    assert (before.version.config, after.version.config) == (old, new)
    assert admission.versions_in_use() == {before.version, after.version}
    admission.release(before.identity.call_id)
    assert admission.versions_in_use() == {after.version}


def test_a_new_version_resets_no_rate_unless_the_limit_has_changed() -> None:
    clock = [0.0]
    admission = admission_of(make_config(sip={"max_calls_per_second": 1}), lambda: clock[0])
    admit(admission, make_invite())
    admission.use(version_of(make_config(sip={"max_calls_per_second": 1})))
    with pytest.raises(RateExceeded):
        admit(admission, make_invite())
    admission.use(version_of(make_config(sip={"max_calls_per_second": 2})))
    assert admit(admission, make_invite())


def test_before_the_first_configuration_is_loaded_no_call_is_admitted() -> None:
    admission = Admission(make_config())
    with pytest.raises(CapacityReached, match="starting"):
        admit(admission, make_invite())
    assert admission.active == 0


def test_an_invite_is_not_admitted_under_a_version_that_is_replaced_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version could be freed before its use is recorded, as two threads are involved."""
    old, new = make_config(), make_config()
    admission = admission_of(old)

    def replaced(config: Config, invite: Invite, call_id: str) -> tuple[Identity, ClientConfig, VoiceProjectConfig]:
        if config is old:
            admission.use(version_of(new))
            assert admission.versions_in_use() == set()
        return identify(config, invite, call_id)

    monkeypatch.setattr("sipbridge.calls.admission.identify", replaced)
    admitted = admit(admission, make_invite())
    assert admitted.version.config is new
    assert admission.versions_in_use() == {admitted.version}
    assert admission.active == 1
