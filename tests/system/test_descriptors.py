"""When file descriptors run out, new calls are rejected, calls in progress go on, and no processor time is wasted."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.program import ProgramError
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings
from tests.harness.usage import cpu_ms
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .site import NUMBERS, Site, site

# An eighth of them is reserved for calls in progress.
DESCRIPTORS = 200
_GAPS = 10
SAMPLE_SECONDS = 1.0
IDLE_SHARE = 0.5  # of a core, on a machine that does other work; a busy loop takes a whole core


def limited_to(descriptors: int) -> list[str]:
    """Return the command that runs a program with this limit of descriptors."""
    return ["prlimit", f"--nofile={descriptors}:{descriptors}"]


@contextmanager
def idle_connections(address: str, count: int = 2 * DESCRIPTORS) -> Iterator[list[socket.socket]]:
    """Open silent connections until some are closed; return the others."""
    host, port = address.rsplit(":", 1)
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(count)]
        wait_for(lambda: any(map(_is_rejected, opened)), "a connection to be closed")
        yield [each for each in opened if not _is_rejected(each)]


def _is_rejected(connection: socket.socket) -> bool:
    connection.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def descriptors(running: Bridge) -> list[int]:
    """The bridge's open descriptors."""
    return sorted(int(each.name) for each in Path(f"/proc/{running.program.pid}/fd").iterdir())


def uses_a_whole_core(running: Bridge) -> bool:
    """True if the bridge uses as much processor time as a busy loop would."""
    before = cpu_ms(running.program.pid)
    time.sleep(SAMPLE_SECONDS)  # the bridge is idle meanwhile
    return cpu_ms(running.program.pid) - before > IDLE_SHARE * SAMPLE_SECONDS * 1000


def http_of(trunk: Site) -> str:
    return trunk.bridge.http.removeprefix("http://")


def test_idle_connections_take_no_descriptor_from_calls_in_progress(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, launcher=limited_to(DESCRIPTORS)) as trunk:
        call = trunk.call("release", "waiting")
        call.wait_until_answered()
        count = trunk.count()
        with idle_connections(http_of(trunk)) as held:
            assert len(held) > DESCRIPTORS / 3
            # Many simultaneous connections are accepted before the first surplus one is closed.
            wait_for(
                lambda: len(descriptors(trunk.bridge)) < DESCRIPTORS - 10, "the reserved descriptors to be free", 2
            )
            # A connection that closed late, such as that of the metrics, has left a gap. A call needs two descriptors.
            with idle_connections(http_of(trunk), _GAPS):
                refused = trunk.call("over_capacity").wait_for_scenario()
                assert not uses_a_whole_core(trunk.bridge)
            # Its Signal needs connections to CXone, its record a file.
            call.wait_for_scenario()
            assert len(call.signals()) == 1
        wait_for(lambda: _responds(trunk), "HTTP to respond again")
        assert call.record()["handoff"]["state"] == "handoff_completed"
        assert refused.has_no_record()
        assert count.grows_by(1, "sipbridge_invites_total", code="503")
        assert trunk.call("release", transport="tcp").wait_for_scenario().record()["handoff"]["signal"] == "accepted"


def _responds(trunk: Site) -> bool:
    with suppress(OSError):
        return fetch(f"{trunk.bridge.http}/healthz").status == 200
    return False


def test_without_free_descriptors_every_connection_is_closed_and_later_ones_are_accepted(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone) as trunk:
        call = trunk.call("caller_hangs_up", "waiting", hold_seconds=4)
        call.wait_until_answered()
        pid, count = trunk.bridge.program.pid, trunk.count()
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # So low that only gaps between the used descriptors are free, and the connections fill them.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(trunk.bridge)[-1] + 1, most))
        with idle_connections(trunk.bridge.sip_tcp, 50):
            for address in (trunk.bridge.sip_tcp, http_of(trunk)):
                for _ in range(60):  # PJLIB gives up after 50
                    with idle_connections(address, 1) as held:
                        assert held == []
            trunk.call("over_capacity").wait_for_scenario()
            assert not uses_a_whole_core(trunk.bridge)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
        assert _responds(trunk)
        assert trunk.call("release", transport="tcp").wait_for_scenario().record()["handoff"]["signal"] == "accepted"
        assert call.wait_for_scenario().record()["reason"] == "caller_hung_up"
        assert count.grows_by(1, "sipbridge_invites_total", code="503")


# ------------------------------------------------------------ at the start


def test_a_limit_that_carries_fewer_calls_is_logged_at_the_start(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, launcher=limited_to(DESCRIPTORS)) as trunk:
        warning = f"the limit of {DESCRIPTORS} carries "
        trunk.bridge.program.logged(warning, "sip.max_calls is 200; raise it to ")


def test_a_limit_that_carries_no_call_prevents_the_start(tmp_path: Path) -> None:
    acme = client_settings(NUMBERS["acme"], "http://127.0.0.1:9", {"billing": project_settings("billing")})
    settings = bridge_settings(tmp_path, {"acme": acme})
    with (
        pytest.raises(ProgramError, match=r"open files: the limit of 70 is too low .* raise it to \d+"),
        bridge(settings, tmp_path, launcher=limited_to(70)),
    ):
        pass


def test_the_soft_limit_is_raised_to_the_hard_limit(tmp_path: Path, cxone: Simulator) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with site(tmp_path, cxone) as trunk:
            assert resource.prlimit(trunk.bridge.program.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
