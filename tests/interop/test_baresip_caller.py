"""baresip as the caller on the trunk; agents and the desk are baresip, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.programs.baresip import Baresip
from tests.harness.programs.simulator import Simulator

from .site import (
    InteropSite,
    TracedCall,
    assert_in_order,
    interop_site,
    recorded_frames,
    wait_for_run,
    write_recording,
)

pytestmark = pytest.mark.usefixtures("baresip")

FRAMES = 3000  # a minute: longer than any of these calls
OF_CALLER, OF_AGENT = 60_003, 60_004
RUN = 100  # 2 s


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[InteropSite]:
    with interop_site(tmp_path_factory.mktemp("site"), cxone) as running:
        yield running


@dataclass(frozen=True)
class BaresipCall:
    """Caller and agent, both of which play recordings without end."""

    caller: Baresip
    agent: Baresip
    call: TracedCall


@contextmanager
def place_call(site: InteropSite, caller: Baresip, client: str, transport: str = "udp") -> Iterator[TracedCall]:
    """Call a client with a single project; the contact is the Call-ID that baresip generates."""
    caller.dial(site.number(client, transport))
    contact_id = caller.next_trace_line("Call-ID: ").removeprefix("Call-ID: ").strip()
    yield site.call_of(client, client, contact_id)


@contextmanager
def talk(site: InteropSite, folder: Path, transport: str = "udp") -> Iterator[BaresipCall]:
    caller_recording = write_recording(folder / "caller.wav", FRAMES, OF_CALLER)
    agent_recording = write_recording(folder / "agent.wav", FRAMES, OF_AGENT)
    with (
        Baresip(folder, "agent", recording=agent_recording, port=site.agent_port) as agent,
        Baresip(folder, "caller", recording=caller_recording, transport=transport) as caller,
        place_call(site, caller, "talking", transport) as call,
    ):
        caller.event("CALL_ESTABLISHED")
        agent.event("CALL_ESTABLISHED")
        call.wait_until_answered()
        yield BaresipCall(caller, agent, call)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_audio_arrives_in_order_in_both_directions(site: InteropSite, tmp_path: Path, transport: str) -> None:
    with talk(site, tmp_path, transport) as each:
        sides = (each.caller, OF_AGENT), (each.agent, OF_CALLER)
        for side in sides:
            wait_for_run(*side, RUN)
        each.caller.hang_up()
        each.agent.event("CALL_CLOSED")
        record = each.call.record()
    assert (record["ended_by"], record["reason"]) == ("caller", "caller_hung_up")
    for side in sides:
        assert_in_order(recorded_frames(*side), RUN)


def test_dtmf_digits_reach_the_other_side_once_each(site: InteropSite, tmp_path: Path) -> None:
    with talk(site, tmp_path) as each:
        for sender, other, digits in ((each.caller, each.agent, "15#"), (each.agent, each.caller, "70*")):
            sender.send_digits(digits)
            assert [other.event("CALL_DTMF_START")["param"] for _ in digits] == list(digits)
        each.caller.hang_up()
        each.call.record()


@pytest.mark.parametrize("holder", ["caller", "agent"])
def test_the_call_goes_on_after_either_side_held_it(site: InteropSite, tmp_path: Path, holder: str) -> None:
    with talk(site, tmp_path) as each:
        holding = getattr(each, holder)
        holding.hold()
        holding.next_trace_line("a=recvonly")  # the bridge's answer
        assert each.call.is_live()
        holding.resume()
        holding.next_trace_line("a=sendrecv")  # its offer
        holding.next_trace_line("a=sendrecv")  # and the answer
        for sender, other, digits in ((each.caller, each.agent, "1"), (each.agent, each.caller, "7")):
            sender.send_digits(digits)
            assert other.event("CALL_DTMF_START")["param"] == digits
        each.caller.hang_up()
        each.call.record()


def test_a_caller_is_transferred_to_a_desk_by_refer(site: InteropSite, tmp_path: Path) -> None:
    grown = site.count()
    with (
        Baresip(tmp_path, "human", port=site.desk_port) as human,
        Baresip(tmp_path, "caller") as caller,
        place_call(site, caller, "referring") as call,
    ):
        assert human.event("CALL_ESTABLISHED")["direction"] == "incoming"
        record = call.record()
        caller.hang_up()
        human.event("CALL_CLOSED")
    assert call.signals() == [{"p1": "care", "p2": "10000002", "p3": "care"}]
    assert (record["handoff"]["state"], record["handoff"]["confirmed"]) == ("handoff_completed", True)
    grown("sipbridge_transfers_total", method="refer", result="success")
