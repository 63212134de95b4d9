"""When another node counts as dead, and when this one cannot."""

from __future__ import annotations

import pytest

from sipbridge.cluster.fleet import Fleet, Listed

LEASE = 15.0
TURN = 3.0


def listed(renewal: str = "", epoch: str = "b", node: str = "node-b") -> Listed:
    return Listed(epoch, node, "http://b", renewal)


def dead(fleet: Fleet, now: float) -> list[Listed]:
    return [peer.listed for peer in fleet.dead(now)]


def renewals(fleet: Fleet, since: float, until: float, *others: Listed) -> None:
    """Renew this node's lease each turn, from `since` to `until`, and see these others."""
    at = since
    while at <= until:
        fleet.renewed(others, at, at)
        at += TURN


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("node-a", LEASE)


def test_a_node_counts_as_dead_two_lease_times_after_its_last_sign_of_life(fleet: Fleet) -> None:
    fleet.renewed([listed("7")], 0, 0)
    renewals(fleet, TURN, 27, listed())
    assert dead(fleet, 29.9) == []
    assert dead(fleet, 30) == [listed()]


def test_calls_of_a_node_that_was_seen_alive_are_not_old(fleet: Fleet) -> None:
    alive, never_seen = listed("7"), listed("", "c", "node-c")
    renewals(fleet, 0, 3, alive, never_seen)
    renewals(fleet, 6, 36, listed(), never_seen)
    assert {peer.listed.epoch: peer.was_seen for peer in fleet.dead(36)} == {"b": True, "c": False}


@pytest.mark.parametrize("sign", ["renewal", "response"])
def test_each_sign_of_life_begins_the_wait_again(fleet: Fleet, sign: str) -> None:
    renewals(fleet, 0, 27, listed("7"))
    if sign == "renewal":
        fleet.renewed([listed("8")], 27, 27)
    else:
        fleet.reached("b", 27)
    renewals(fleet, 27, 57, listed())
    assert dead(fleet, 56.9) == []
    assert dead(fleet, 57) == [listed()]


def test_a_lease_that_is_not_renewed_keeps_the_node_alive_until_it_ends(fleet: Fleet) -> None:
    renewals(fleet, 0, 60, listed("7"))
    assert dead(fleet, 60) == []
    fleet.renewed([listed()], 63, 63)
    assert dead(fleet, 63) == [listed()]


def test_a_node_that_saw_nothing_for_a_while_waits_again(fleet: Fleet) -> None:
    renewals(fleet, 0, 27, listed())
    # It stood still, or Redis was away.
    back_at = 27 + LEASE + 1
    renewals(fleet, back_at, back_at + 27, listed())
    assert dead(fleet, back_at + 29.9) == []
    assert dead(fleet, back_at + 30) == [listed()]


def test_a_renewal_counts_from_its_request_since_the_process_may_have_stood_still_then(fleet: Fleet) -> None:
    fleet.renewed([listed("1")], 0, 60)
    assert not fleet.cannot_be_rescued(60)


def test_a_node_without_a_fresh_renewal_of_its_own_takes_no_other_for_dead(fleet: Fleet) -> None:
    renewals(fleet, 0, 30, listed())
    assert dead(fleet, 30) == [listed()]
    assert dead(fleet, 30 + LEASE + 1) == []


def test_a_node_cannot_be_rescued_within_a_lease_time_after_its_renewal(fleet: Fleet) -> None:
    fleet.renewed([listed("1")], 0, 0)
    assert fleet.cannot_be_rescued(14.9)
    assert not fleet.cannot_be_rescued(15)


def test_a_node_cannot_be_rescued_while_every_other_one_has_its_responses(fleet: Fleet) -> None:
    fleet.renewed([listed("1"), listed("1", "c", "node-c")], 0, 0)
    fleet.heard("b", 20)
    assert not fleet.cannot_be_rescued(21), "the third node may count this one as dead"
    fleet.heard("c", 20)
    assert fleet.cannot_be_rescued(34.9)
    assert not fleet.cannot_be_rescued(35)


def test_an_earlier_run_of_this_node_cannot_rescue_it(fleet: Fleet) -> None:
    former = listed("", "old", "node-a")
    fleet.renewed([former], 0, 0)
    assert fleet.former() == [former]
    assert fleet.cannot_be_rescued(60)


def test_the_rescue_can_only_begin_after_unclaimed_signals_have_stopped() -> None:
    """The owner's last permission ends before the earliest moment at which another node may begin."""
    owner, rescuer = Fleet("node-a", LEASE), Fleet("node-b", LEASE)
    owner.renewed([listed("1")], 0, 0)
    rescuer.renewed([listed("1", "a", "node-a")], 0, 0)
    owner.heard("b", 0)
    at = 0.0
    while not rescuer.dead(at):
        at += 1
        rescuer.renewed([listed("", "a", "node-a")], at, at)
    assert not owner.cannot_be_rescued(at - LEASE)
