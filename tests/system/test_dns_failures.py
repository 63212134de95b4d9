"""Names that do not resolve, and a resolver that hangs, harm only the calls that need them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import bridge
from tests.harness.programs.nameserver import nameserver
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings

from .site import Site

HANGING = [f"hanging-{number}" for number in range(5)]  # more names than getaddrinfo has threads
STOP_SECONDS = 9.0


def test_lookups_that_hang_delay_no_other_call(tmp_path: Path, cxone: Simulator) -> None:
    port = cxone.url.rpartition(":")[2]
    numbers = {name: f"+1999555010{place}" for place, name in enumerate(["named", "nameless", *HANGING])}
    clients = {
        name: client_settings(number, f"http://{name}.test:{port}", {name: project_settings(name)})
        for name, number in numbers.items()
    }
    with (
        ExitStack() as after,
        nameserver({"named.test": "127.0.0.1"}, silent={f"{name}.test" for name in HANGING}) as names,
        bridge(bridge_settings(tmp_path, clients), tmp_path, nameserver=names) as running,
    ):
        site = Site(running, cxone, tmp_path, reserved_port(), numbers)
        after.callback(site.end_calls)
        stuck = {name: site.call("release", name) for name in (*HANGING, "nameless")}
        named = site.call("release", "named").wait_for_scenario().record()
        assert named["handoff"]["signal"] == "accepted"
        assert _seconds_of_handoff(named) < 2.5  # those that hang take 3
        for name, call in stuck.items():
            assert call.wait_for_scenario().record()["handoff"]["signal"] == "undelivered"
            count = running.metrics().value
            assert count("sipbridge_signals_total", client=name, result="upstream_error") == 1
            assert count("sipbridge_handoffs_total", client=name, reason="signal_undelivered") == 1
        assert set(names.lookups) >= {f"{name}.test" for name in numbers}
        site.call("release", HANGING[0])
        running.wait_for_metric(1, "sipbridge_calls_active")  # while a lookup is in progress
        started = time.monotonic()
        assert running.program.stop() == 0
        assert time.monotonic() - started < STOP_SECONDS


def _seconds_of_handoff(record: dict[str, Any]) -> float:
    took = datetime.fromisoformat(record["ended_at"]) - datetime.fromisoformat(record["handoff"]["handoff_at"])
    return took.total_seconds()
