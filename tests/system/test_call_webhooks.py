"""The events of calls at a webhook: of a whole call, and across a SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.links import Links
from tests.harness.ports import reserved_port
from tests.harness.programs.redis import RedisServer
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for
from tests.soak.kills import RESTARTED

from .site import Site, clients, site

SECRET = "secret-of-the-webhook"
LEASE_SECONDS = 2
BEHIND = "127.0.0.9"  # the links to a node, and from it to Redis


@dataclass
class Crm:
    """The receiver. It responds with `status`."""

    url: str = ""
    status: int = 204
    events: list[dict[str, Any]] = field(default_factory=list)

    def sequences(self, contact: str) -> list[int]:
        return [each["sequence"] for each in self.events if each["payload"]["contact_id"] == contact]

    def wait_for(self, contact: str, sequence: int) -> None:
        """Wait for an event of a call, within the time of a takeover."""
        wait_for(lambda: sequence in self.sequences(contact), f"event {sequence} of {contact}", 30)


@pytest.fixture
def crm() -> Iterator[Crm]:
    found = Crm()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if found.status < 300:
                found.events.append(event)
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@contextmanager
def announcing(folder: Path, cxone: Simulator, crm: Crm, **changes: Any) -> Iterator[Site]:  # noqa: ANN401 (YAML)
    """Run a bridge whose projects of `acme` have a webhook."""
    acme = clients(folder, cxone.url, 5060)["acme"]
    for project in acme["projects"].values():
        project["webhook"] = {"url": crm.url, "secret": SECRET}
    with site(folder, cxone, clients={"acme": acme}, **changes) as trunk:
        yield trunk


def test_a_call_is_announced_from_its_start_to_its_end(tmp_path: Path, cxone: Simulator, crm: Crm) -> None:
    with announcing(tmp_path, cxone, crm) as trunk:
        before = trunk.count()
        call = trunk.call("release", "release")
        wait_for(lambda: crm.sequences(call.contact.id) == [1, 2, 3, 4, 7], "all events")
        last = crm.events[-1]
        record = call.project.ended_call(call.contact.id)
        shown = {key: record[key] for key in last["payload"] if key != "handoff"}
        assert {key: value for key, value in last["payload"].items() if key != "handoff"} == shown
        assert before.grows_by(5, "sipbridge_webhook_deliveries_total", project="release", result="delivered")


def test_a_kill_in_conversation_loses_no_event_and_repeats_have_the_same_id(
    tmp_path: Path, cxone: Simulator, crm: Crm
) -> None:
    with announcing(tmp_path, cxone, crm) as trunk:
        call = trunk.call("release", "waiting")
        call.wait_until_answered()
        wait_for(lambda: crm.sequences(call.contact.id) == [1, 2], "the first events")
        wait_for(lambda: b'"answered"' in (tmp_path / "calls.db.journal").read_bytes(), "the answer in the journal")
        trunk.bridge.program.kill()
    with announcing(tmp_path, cxone, crm):
        wait_for(lambda: 7 in crm.sequences(call.contact.id), "the end of the call")
    assert crm.sequences(call.contact.id) == [1, 2, 1, 2, 3, 4, 7]
    for sequence in (1, 2):
        first, again = (each for each in crm.events if each["sequence"] == sequence)
        assert again == first
    assert crm.events[-1]["payload"]["reason"] == RESTARTED


def test_a_node_that_stood_still_sends_no_end_of_a_call_that_another_one_has(
    tmp_path: Path, cxone: Simulator, crm: Crm, redis: RedisServer
) -> None:
    with ExitStack() as stack:
        first, second = [
            stack.enter_context(
                announcing(_folder(tmp_path / name), cxone, crm, **_node(tmp_path / name, redis.url, name))
            )
            for name in ("node-1", "node-2")
        ]
        call = first.call("release", "lasting")
        call.wait_until_answered()
        wait_for(lambda: crm.sequences(call.contact.id) == [1, 2], "the first events")
        os.kill(first.bridge.program.pid, signal.SIGSTOP)
        wait_for(lambda: 7 in crm.sequences(call.contact.id), "the end of the call", 4 * LEASE_SECONDS + 20)
        os.kill(first.bridge.program.pid, signal.SIGCONT)
        first.bridge.wait_for_metric(1, "sipbridge_calls_total", project="lasting", reason="taken_over")
        first.bridge.wait_for_metric(0, "sipbridge_webhook_calls_waiting", project="lasting")
        second.bridge.wait_for_metric(0, "sipbridge_webhook_calls_waiting", project="lasting")
    ends = [each for each in crm.events if each["sequence"] == 7]
    assert [(each["payload"]["contact_id"], each["payload"]["reason"]) for each in ends] == [
        (call.contact.id, "node_lost")
    ]


def test_a_node_that_was_cut_off_and_taken_over_sends_no_end_of_its_own(
    tmp_path: Path, cxone: Simulator, crm: Crm, redis: RedisServer
) -> None:
    """Its lease finds out before its store does. For that moment no one knows whose record stands."""
    http_port = reserved_port()
    with ExitStack() as stack:
        links = stack.enter_context(Links())
        for port in (redis.port, http_port):
            links.add(BEHIND, port)
        settings = _node(_folder(tmp_path / "node-1"), redis.url.replace("127.0.0.1", BEHIND), "node-1")
        settings["http"]["listen"] = f"127.0.0.1:{http_port}"
        settings["node"]["internal_url"] = f"http://{BEHIND}:{http_port}"
        first = stack.enter_context(announcing(tmp_path / "node-1", cxone, crm, **settings))
        others = _node(_folder(tmp_path / "node-2"), redis.url, "node-2")
        second = stack.enter_context(announcing(tmp_path / "node-2", cxone, crm, **others))
        # A node that has seen no other cannot be taken over, as far as it knows.
        first.bridge.wait_for_metric(1, "sipbridge_node_others")
        talking = first.call("release", "lasting")
        over = first.call("caller_hangs_up", "lasting", hold_seconds=4 * LEASE_SECONDS)
        for call in (talking, over):
            call.wait_until_answered()
            crm.wait_for(call.contact.id, 2)
        links.cut(BEHIND, redis.port, http_port)
        over.wait_for_scenario()
        first.bridge.program.logged("store_failing")
        for call in (talking, over):
            crm.wait_for(call.contact.id, 7)
        links.mend(BEHIND, redis.port, http_port)
        first.bridge.wait_for_metric(1, "sipbridge_calls_total", project="lasting", reason="taken_over")
        first.bridge.program.logged("store_working")
        wait_for(lambda: redis.run("HLEN", "sipbridge:nodes") == 2, "another epoch of the first node")
        again = first.call("release")
        crm.wait_for(again.contact.id, 7)
        for node in (first, second):
            node.bridge.wait_for_metric(0, "sipbridge_webhook_calls_waiting", project="lasting")
    ends = [each["payload"] for each in crm.events if each["sequence"] == 7]
    for call in (talking, over):
        assert [each["reason"] for each in ends if each["contact_id"] == call.contact.id] == ["node_lost"]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _node(folder: Path, redis_url: str, name: str) -> dict[str, Any]:
    settings = on_redis(redis_url, name, lease_seconds=LEASE_SECONDS)
    settings["store"]["journal"] = str(folder / "journal")
    return settings


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_events_that_wait_survive_a_kill(
    tmp_path: Path, cxone: Simulator, crm: Crm, engine: str, request: pytest.FixtureRequest
) -> None:
    changes: dict[str, Any] = {}
    if engine == "redis":
        redis: RedisServer = request.getfixturevalue("redis")
        changes = on_redis(redis.url, "node-1")
    crm.status = 503
    with announcing(tmp_path, cxone, crm, **changes) as trunk:
        call = trunk.call("release", "release")
        call.project.ended_call(call.contact.id)
        trunk.bridge.wait_for_metric(1, "sipbridge_webhook_calls_waiting", project="release")
        trunk.bridge.program.kill()
    crm.status = 204
    with announcing(tmp_path, cxone, crm, **changes) as trunk:
        wait_for(lambda: 7 in crm.sequences(call.contact.id), "the end of the call")
        trunk.bridge.wait_for_metric(0, "sipbridge_webhook_calls_waiting", project="release")
    assert crm.sequences(call.contact.id) == [1, 2, 3, 4, 7]
