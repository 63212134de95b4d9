"""Hostile clients of the running program's HTTP address, with a call in progress."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator
from tests.harness.settings import key
from tests.harness.usage import open_files, rss_mb
from tests.harness.waiting import wait_for
from tests.harness.web.http import Answer, fetch

from .site import Site, site

ADMIN_KEY = "key-of-whoever-runs-the-bridge"
STRANGERS = 3_000


@pytest.fixture
def own_site(tmp_path: Path, cxone: Simulator) -> Iterator[Site]:
    """A bridge for one test, with an admin key."""
    with site(tmp_path, cxone, http={"admin": {"keys": [ADMIN_KEY]}}) as trunk:
        yield trunk


def test_thousands_of_silent_connections_cost_little_and_disturb_neither_call_nor_health(own_site: Site) -> None:
    call = own_site.call("release", "waiting")
    call_id = call.wait_until_answered()
    pid = own_site.bridge.program.pid
    files, memory = open_files(pid), rss_mb(pid)
    slowest = 0.0
    with ExitStack() as stack:
        for number in range(STRANGERS):
            stack.enter_context(connected(own_site, b"GET /healthz HTTP/1.1\r\nX" if number % 2 else b""))
            if number % 100 == 0:
                began = time.monotonic()
                assert fetch(f"{own_site.bridge.http}/healthz").status == 200
                slowest = max(slowest, time.monotonic() - began)
        assert open_files(pid) - files <= 512 + 10
        assert rss_mb(pid) - memory < 60
        assert call.project.request(f"calls/{call_id}/handoff", "POST", {"reason": "asked"}).status == 202
    assert slowest < 2
    assert call.wait_for_scenario().record()["handoff"]["reason"] == "asked"


@contextmanager
def connected(trunk: Site, data: bytes) -> Iterator[socket.socket]:
    host, _, port = trunk.bridge.http.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(data)
        yield line


def test_a_drain_by_http_is_a_drain(own_site: Site) -> None:
    call = own_site.call("release", "waiting")
    call.wait_until_answered()
    status = admin(own_site, "status").json()
    assert (status["draining"], status["calls"]) == (False, 1)
    for _ in range(2):
        answer = admin(own_site, "drain", "POST")
        assert (answer.status, answer.json()) == (202, {"state": "draining", "calls": 1})
    own_site.bridge.wait_for_metric(1, "sipbridge_draining")
    assert fetch(f"{own_site.bridge.http}/readyz").status == 503
    call.wait_for_scenario()
    assert [signal["p3"] for signal in call.signals()] == ["draining"]
    assert own_site.bridge.program.wait(15) == 0


def test_a_reload_by_http_changes_keys_and_a_call_in_progress_keeps_its_own(own_site: Site) -> None:
    call = own_site.call("caller_hangs_up", "waiting", hold_seconds=3)
    call_id = call.wait_until_answered()
    file = own_site.folder / "bridge.yaml"
    written = file.read_text()
    file.write_text(written.replace(key("waiting"), "another-key") + "\nunheard_of: 1\n")
    refused = admin(own_site, "reload", "POST")
    assert refused.status == 422
    assert "unheard_of: is an unknown key" in refused.json()["error_message"]
    file.write_text(written.replace(key("waiting"), "another-key"))
    reloaded = admin(own_site, "reload", "POST").json()
    assert (reloaded["reloaded"], reloaded["restart_required"]) == (True, [])
    assert call.project.request("calls").status == 401
    assert call.project.request(f"calls/{call_id}").status == 200
    assert own_site.bridge.project("acme", "waiting", "another-key").request(f"calls/{call_id}").status == 200
    call.wait_for_scenario()
    wait_for(lambda: call.project.request(f"calls/{call_id}").status == 401, "the end of the call and of its keys")


@pytest.mark.parametrize(
    ("added", "outcome", "logged"),
    [("", "success", "configuration reloaded"), ("unheard_of: 1\n", "client_error", "unheard_of: is an unknown key")],
)
def test_a_reload_by_http_goes_on_without_its_client(own_site: Site, added: str, outcome: str, logged: str) -> None:
    file, count = own_site.folder / "bridge.yaml", own_site.count()
    written = file.read_text()
    file.unlink()
    os.mkfifo(file)  # the bridge reads it until its other end is closed
    request = f"POST /v1/admin/reload HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {ADMIN_KEY}\r\n\r\n"
    with connected(own_site, request.encode()):
        pipe = file.open("w")  # returns when the bridge has opened it too
    assert fetch(f"{own_site.bridge.http}/healthz").status == 200  # by then the bridge has seen the client go
    with pipe:
        pipe.write(f"{written}\n{added}")
    assert count.grows_by(1, "sipbridge_config_reloads_total", result=outcome)
    own_site.bridge.program.logged(logged)


def admin(trunk: Site, name: str, method: str = "GET") -> Answer:
    return fetch(f"{trunk.bridge.admin}/v1/admin/{name}", method, headers={"x-api-key": ADMIN_KEY})


def test_the_admin_api_may_have_a_listener_of_its_own(tmp_path: Path, cxone: Simulator) -> None:
    own = {"admin": {"keys": [ADMIN_KEY], "listen": "127.0.0.1:0"}}
    with site(tmp_path, cxone, http=own) as trunk:
        assert trunk.bridge.admin != trunk.bridge.http
        assert admin(trunk, "status").status == 200
        assert fetch(f"{trunk.bridge.http}/v1/admin/status", headers={"x-api-key": ADMIN_KEY}).status == 404
        assert admin(trunk, "drain", "POST").status == 202
        assert trunk.bridge.program.wait(15) == 0
