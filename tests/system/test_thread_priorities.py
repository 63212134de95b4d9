"""The priorities of the bridge's threads: those that carry calls come before other programs, the others do not."""

from __future__ import annotations

import os
import subprocess

from tests.harness.threads import threads
from tests.harness.waiting import wait_for

from .site import Site
from .websocket_site import WebsocketSite

# Real-time priorities. All other threads have none, such as those that write.
PRIORITIES = {"media clock": 2, "event loop": 1, "sip": 1}
ALL = os.sched_getaffinity(0)
BACKGROUND = {"store-writer", "journal-writer", "log-writer"}


def test_the_threads_that_carry_calls_have_real_time_priority_if_permitted_and_no_others(trunk: Site) -> None:
    found = {each.name: priority(each.number) for each in threads(trunk.bridge.program.pid).values()}
    assert set(found) >= {*PRIORITIES, *BACKGROUND}
    assert {name: each for name, each in found.items() if each} == (PRIORITIES if is_permitted() else {})


def test_the_event_loop_and_the_sip_thread_share_a_core_if_they_have_priority(trunk: Site) -> None:
    def share() -> bool:
        found = cores(trunk)
        return found["event loop"] == found["sip"] and len(found["sip"]) == (1 if is_permitted() else len(ALL))

    # Calls of other tests may keep them so busy that they share none for some seconds.
    wait_for(share, "the two on one core")


def test_they_use_all_cores_while_a_call_has_a_websocket_agent(websocket: WebsocketSite) -> None:
    def use_all() -> bool:
        found = cores(websocket.trunk)
        return found["event loop"] == found["sip"] == ALL

    with websocket.call("bot", "websocket_caller_forged_headers") as call:
        agent = call.agent()
        wait_for(use_all, "all cores for both")
        agent.hang_up()
        call.wait_for_scenario()


def test_no_other_thread_is_bound_to_a_core(trunk: Site) -> None:
    others = {name: used for name, used in cores(trunk).items() if name not in {"event loop", "sip"}}
    assert others == dict.fromkeys(others, ALL)
    assert set(others) >= BACKGROUND


def cores(site: Site) -> dict[str, set[int]]:
    """The cores that each thread of the bridge may use."""
    return {each.name: os.sched_getaffinity(each.number) for each in threads(site.bridge.program.pid).values()}


def priority(thread: int) -> int:
    """The real-time priority of a thread; 0 if it has none."""
    real_time = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    return os.sched_getparam(thread).sched_priority if real_time else 0


def is_permitted() -> bool:
    """True if this machine permits it to the programs of the tests, and has more than one core for them."""
    tried = subprocess.run(["/usr/bin/chrt", "--rr", "2", "/bin/true"], capture_output=True, check=False)
    return tried.returncode == 0 and len(os.sched_getaffinity(0)) > 1
