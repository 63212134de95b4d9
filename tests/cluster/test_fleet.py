"""When another node counts as dead, and when this one cannot."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sipbridge.cluster.fleet import RESCUERS, Fleet, Listed, Renewal, SeenLease

LEASE = 15.0
TURN = 3.0


class Other(NamedTuple):
    """Another node, and its lease."""

    listed: Listed
    lease: SeenLease | None


def other(renewal: str = "", epoch: str = "b", node: str = "node-b") -> Other:
    return Other(Listed(epoch, node, "http://b"), SeenLease(renewal) if renewal else None)


def see(fleet: Fleet, at: float, *others: Other, own: str = "a", sent_at: float | None = None) -> None:
    """Renew this node's lease, and see these others."""
    leases = {each.listed.epoch: each.lease for each in others}
    renewal = Renewal(own, [each.listed for each in others], leases)
    fleet.renewed(renewal, at if sent_at is None else sent_at, at)


def see_turns(fleet: Fleet, since: float, until: float, *others: Other, own: str = "a") -> None:
    """Do so each turn, from `since` to `until`."""
    at = since
    while at <= until:
        see(fleet, at, *others, own=own)
        at += TURN


def hear(fleet: Fleet, epoch: str, at: float, own: str = "a") -> None:
    """Note that a node, whose ring is the same, had a response."""
    fleet.heard(epoch, at, fleet.rescuers_mark(own))


def dead(fleet: Fleet, now: float) -> list[Listed]:
    return [ward.listed for ward in fleet.dead(now)]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("node-a", LEASE)


def test_a_node_counts_as_dead_two_lease_times_after_its_last_sign_of_life(fleet: Fleet) -> None:
    see(fleet, 0, other("7"))
    see_turns(fleet, TURN, 27, other())
    assert dead(fleet, 29.9) == []
    assert dead(fleet, 30) == [other().listed]


def test_calls_of_a_node_that_was_seen_alive_are_not_old(fleet: Fleet) -> None:
    alive, never_seen = other("7"), other("", "c", "node-c")
    see_turns(fleet, 0, 3, alive, never_seen)
    see_turns(fleet, 6, 36, other(), never_seen)
    assert {ward.listed.epoch: ward.was_seen for ward in fleet.dead(36)} == {"b": True, "c": False}


@pytest.mark.parametrize("sign", ["renewal", "response"])
def test_each_sign_of_life_begins_the_wait_again(fleet: Fleet, sign: str) -> None:
    see_turns(fleet, 0, 27, other("7"))
    if sign == "renewal":
        see(fleet, 27, other("8"))
    else:
        fleet.reached("b", 27)
    see_turns(fleet, 27, 57, other())
    assert dead(fleet, 56.9) == []
    assert dead(fleet, 57) == [other().listed]


def test_a_lease_that_is_not_renewed_keeps_the_node_alive_until_it_ends(fleet: Fleet) -> None:
    see_turns(fleet, 0, 60, other("7"))
    assert dead(fleet, 60) == []
    see(fleet, 63, other())
    assert dead(fleet, 63) == [other().listed]


def test_a_node_that_saw_nothing_for_a_while_waits_again(fleet: Fleet) -> None:
    see_turns(fleet, 0, 27, other())
    # It stood still, or Redis was away.
    back_at = 27 + LEASE + 1
    see_turns(fleet, back_at, back_at + 27, other())
    assert dead(fleet, back_at + 29.9) == []
    assert dead(fleet, back_at + 30) == [other().listed]


@pytest.mark.parametrize("responds", [True, False])
def test_a_node_that_may_have_died_hours_ago_counts_as_not_seen(fleet: Fleet, *, responds: bool) -> None:
    """Redis was away, and only probes show if the node was alive meanwhile."""
    see_turns(fleet, 0, 27, other("7"))
    back_at = 4 * 3600
    if responds:
        fleet.reached("b", back_at - TURN)
    see_turns(fleet, back_at, back_at + 30, other())
    assert [ward.was_seen for ward in fleet.dead(back_at + 30)] == [responds]


def test_a_renewal_counts_from_its_request_since_the_process_may_have_stood_still_then(fleet: Fleet) -> None:
    see(fleet, 60, other("1"), sent_at=0)
    assert not fleet.cannot_be_rescued(60)


def test_a_node_waits_again_for_one_that_becomes_its_ward(fleet: Fleet) -> None:
    """A node between both has died, and was taken over."""
    between = [other("1", f"n{number}", f"node-{number}") for number in range(RESCUERS)]
    see_turns(fleet, 0, 60, other(), *between, own="z")
    assert dead(fleet, 60) == [], "not a ward"
    see_turns(fleet, 63, 90, other(), *between[1:], own="z")
    assert dead(fleet, 92.9) == []
    assert dead(fleet, 93) == [other().listed]


def test_a_ward_that_redis_was_not_asked_for_yet_counts_as_alive(fleet: Fleet) -> None:
    fleet.renewed(Renewal("a", [other().listed], {}), 0, 0)
    assert fleet.has_lease("b")
    assert not fleet.has_lost
    see(fleet, TURN, other())
    assert not fleet.has_lease("b")
    assert fleet.has_lost


def test_a_node_without_a_fresh_renewal_of_its_own_takes_no_other_for_dead(fleet: Fleet) -> None:
    see_turns(fleet, 0, 30, other())
    assert dead(fleet, 30) == [other().listed]
    assert dead(fleet, 30 + LEASE + 1) == []


def test_a_node_cannot_be_rescued_within_a_lease_time_after_its_renewal(fleet: Fleet) -> None:
    see(fleet, 0, other("1"))
    assert fleet.cannot_be_rescued(14.9)
    assert not fleet.cannot_be_rescued(15)


def test_a_node_cannot_be_rescued_while_every_rescuer_has_its_responses(fleet: Fleet) -> None:
    see(fleet, 0, other("1"), other("1", "c", "node-c"))
    hear(fleet, "b", 20)
    assert not fleet.cannot_be_rescued(21), "the third node may count this one as dead"
    hear(fleet, "c", 20)
    assert fleet.cannot_be_rescued(34.9)
    assert not fleet.cannot_be_rescued(35)


def test_an_earlier_run_of_this_node_cannot_rescue_it(fleet: Fleet) -> None:
    former = other("", "old", "node-a")
    see(fleet, 0, former)
    assert fleet.former() == [former.listed]
    assert fleet.cannot_be_rescued(60)


def test_the_rescue_can_only_begin_after_unclaimed_signals_have_stopped() -> None:
    """The owner's last permission ends before the earliest moment at which another node may begin."""
    owner, rescuer = Fleet("node-a", LEASE), Fleet("node-b", LEASE)
    see(owner, 0, other("1"))
    see(rescuer, 0, other("1", "a", "node-a"), own="b")
    hear(owner, "b", 0)
    at = 0.0
    while not rescuer.dead(at):
        at += 1
        see(rescuer, at, other("", "a", "node-a"), own="b")
    assert not owner.cannot_be_rescued(at - LEASE)
