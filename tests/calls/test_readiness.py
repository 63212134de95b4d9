from __future__ import annotations

import pytest

from sipbridge.calls.readiness import STALLED_SECONDS, Readiness
from sipbridge.errors import CapacityReached
from tests.calls.world import admission_of, admit, make_config, make_invite
from tests.fakes import FakeBackpressure

MOMENT = 0.001


class Bridge:
    """A bridge for one call, and a clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.admission = admission_of(make_config(sip={"max_calls": 1}), lambda: self.now)
        self.readiness = Readiness(self.admission, clock=lambda: self.now)

    def obstacle(self) -> tuple[str, int | None] | None:
        """Why no call is taken and after how many seconds to try again, as HTTP and SIP say."""
        obstacle = self.readiness.obstacle()
        assert self.readiness.reason() == (None if obstacle is None else str(obstacle))
        if obstacle is None:
            return None
        assert obstacle.sip_status == 503
        return str(obstacle), obstacle.retry_after_seconds


@pytest.fixture
def bridge() -> Bridge:
    bridge = Bridge()
    bridge.readiness.turned(None)
    return bridge


def test_a_bridge_is_ready_once_its_threads_run() -> None:
    bridge = Bridge()
    assert bridge.obstacle() == ("starting", 5)
    bridge.readiness.turned(None)
    assert bridge.obstacle() is None


def test_a_node_that_the_cluster_holds_back_takes_no_calls(bridge: Bridge) -> None:
    bridge.admission.withheld = "another node has the same node.id"
    assert bridge.obstacle() == ("another node has the same node.id", 5)
    with pytest.raises(CapacityReached, match="same node"):
        admit(bridge.admission, make_invite())
    bridge.admission.withheld = None
    assert bridge.obstacle() is None


def test_a_bridge_that_drains_is_not_ready_whatever_else_is_wrong(bridge: Bridge) -> None:
    admit(bridge.admission, make_invite())
    bridge.admission.draining = True
    assert bridge.obstacle() == ("draining", 30)


def test_a_full_bridge_is_not_ready_until_a_call_ends(bridge: Bridge) -> None:
    admitted = admit(bridge.admission, make_invite())
    assert bridge.obstacle() == ("full", 5)
    bridge.admission.release(admitted.identity.call_id)
    assert bridge.obstacle() is None


def test_a_shortage_of_resources_is_named(bridge: Bridge) -> None:
    bridge.readiness.turned("no two ports are free")
    assert bridge.obstacle() == ("full: no two ports are free", 5)
    bridge.readiness.turned(None)
    assert bridge.obstacle() is None


def test_a_bridge_is_not_ready_while_a_thread_is_stalled(bridge: Bridge) -> None:
    bridge.now += STALLED_SECONDS
    assert bridge.obstacle() is None
    bridge.now += MOMENT
    assert bridge.obstacle() == ("the SIP thread or the event loop is stalled", 5)
    bridge.readiness.turned(None)
    assert bridge.obstacle() is None


def test_a_bridge_is_not_ready_just_after_an_overload_rejected_a_call(bridge: Bridge) -> None:
    assert bridge.obstacle() is None
    with pytest.raises(CapacityReached):
        admit(bridge.admission, make_invite(), FakeBackpressure(is_overloaded=True))
    assert bridge.obstacle() == ("overloaded: calls in progress have to wait", 5)
    bridge.now += 2
    bridge.readiness.turned(None)
    assert bridge.obstacle() is None
