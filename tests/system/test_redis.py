"""A bridge whose records and chats are in Redis."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import Authority
from tests.harness.ports import free_port
from tests.harness.programs.program import ProgramError
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for

from .chat_site import chat_site
from .site import PlacedCall, Site, site

OUTAGES: dict[str, tuple[Callable[[RedisServer], object], Callable[[RedisServer], object]]] = {
    "paused": (RedisServer.pause, RedisServer.resume),
    "killed": (RedisServer.kill, RedisServer.start),
    "full": (
        lambda it: it.run("CONFIG", "SET", "maxmemory", "1kb"),
        lambda it: it.run("CONFIG", "SET", "maxmemory", "0"),
    ),
    "read-only": (
        lambda it: it.run("REPLICAOF", "127.0.0.1", free_port()),
        lambda it: it.run("REPLICAOF", "NO", "ONE"),
    ),
}
REFUSED: dict[str, tuple[Callable[[RedisServer], object], str]] = {
    "password": (lambda it: it.run("CONFIG", "SET", "requirepass", "secret-of-redis"), "needs a password; "),
    "full": (lambda it: it.run("CONFIG", "SET", "maxmemory", "1kb"), "has no memory left; raise maxmemory, "),
    "read-only": (lambda it: it.run("REPLICAOF", "127.0.0.1", free_port()), "is a replica; "),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def shared(folder: Path, cxone: Simulator, server: RedisServer, **changes: Any) -> AbstractContextManager[Site]:  # noqa: ANN401 (YAML)
    """Run a bridge on this Redis."""
    return site(folder, cxone, **on_redis(server.url, "node-1"), **changes)


def contacts_in(server: RedisServer) -> set[str]:
    """Return the shared ids of the calls that Redis has."""
    return {server.run("HGET", key, "shared_id") for key in server.run("KEYS", "sipbridge:call:*")}


def body_of(server: RedisServer, call_id: str) -> str:
    """Return the text of a record in Redis."""
    return str(server.run("HGET", f"sipbridge:call:acme:release:{call_id}", "body"))


def handed_off(call: PlacedCall) -> bool:
    """True if the caller was handed off by one Signal. A node knows its own calls while Redis is away."""
    call.wait_for_scenario()
    wait_for(lambda: call.handoff_state()["handoff_state"] == "handoff_completed", "the end of the handoff")
    return len(call.signals()) == 1


def test_a_start_waits_for_a_redis_that_is_silent(tmp_path: Path, cxone: Simulator, server: RedisServer) -> None:
    def resume_when_it_waits() -> None:
        wait_for(
            lambda: b"start_waits" in b"".join(each.read_bytes() for each in tmp_path.glob("*.log")), "the wait", 50
        )
        server.resume()

    server.pause()
    resuming = threading.Thread(target=resume_when_it_waits)
    resuming.start()
    with shared(tmp_path, cxone, server) as trunk:
        resuming.join()
        trunk.bridge.program.logged("start_goes_on")
        assert handed_off(trunk.call("release"))


def test_a_record_is_found_by_the_next_run(tmp_path: Path, cxone: Simulator, server: RedisServer) -> None:
    with shared(tmp_path, cxone, server) as trunk:
        call = trunk.call("release")
        assert handed_off(call)
        record = call.record()
        wait_for(lambda: '"state":"ended"' in body_of(server, record["id"]), "the last record of the call")
        trunk.bridge.program.kill()
    with shared(tmp_path, cxone, server) as trunk:
        found = trunk.bridge.project("acme", "release", "key-of-release").ended_call(call.contact.id)
        assert found["id"] == record["id"]
        assert found["handoff"] == record["handoff"]


@pytest.mark.parametrize(("leave", "come_back"), OUTAGES.values(), ids=OUTAGES)
def test_calls_go_on_while_redis_is_away(
    tmp_path: Path,
    cxone: Simulator,
    server: RedisServer,
    leave: Callable[[RedisServer], object],
    come_back: Callable[[RedisServer], object],
) -> None:
    with shared(tmp_path, cxone, server) as trunk:
        assert handed_off(trunk.call("release"))
        trunk.bridge.wait_until_idle()
        trunk.bridge.wait_for_metric(0, "sipbridge_store_pending_records")
        leave(server)
        calls = [trunk.call("release") for _ in range(3)]
        assert all(handed_off(call) for call in calls)
        trunk.bridge.wait_for_metric(3, "sipbridge_store_pending_records")
        come_back(server)
        trunk.bridge.wait_for_metric(0, "sipbridge_store_pending_records")
        assert contacts_in(server) >= {call.contact.id for call in calls}
        trunk.bridge.program.logged('"store_failing"', '"store_working"')


@pytest.mark.parametrize(("change", "problem"), REFUSED.values(), ids=REFUSED)
def test_a_redis_that_cannot_be_used_prevents_the_start(
    tmp_path: Path, cxone: Simulator, server: RedisServer, change: Callable[[RedisServer], object], problem: str
) -> None:
    change(server)
    refused = pytest.raises(ProgramError, match=rf"store\.url: redis://127\.0\.0\.1:\d+/0 {problem}")
    with refused, shared(tmp_path, cxone, server):
        pass


def test_a_redis_that_speaks_tls_only_prevents_the_start(tmp_path: Path, cxone: Simulator) -> None:
    authority = Authority(tmp_path)
    pair, port = authority.issue("redis"), free_port()
    files = {"tls_cert_file": pair.certificate, "tls_key_file": pair.key, "tls_ca_cert_file": authority.file}
    options = {name: str(file) for name, file in files.items()}
    with redis_server(tmp_path, tls_port=str(port), sentinel=False, tls_auth_clients="no", **options):
        settings = on_redis(f"redis://127.0.0.1:{port}/0", "node-1")
        refused = pytest.raises(ProgramError, match=r"closes the connection; if it speaks TLS only, write rediss://")
        with refused, site(tmp_path, cxone, **settings):
            pass


def test_an_old_redis_prevents_the_start(tmp_path: Path, cxone: Simulator, server: RedisServer) -> None:
    with relayed(server.port, lambda data: re.sub(rb"redis_version:\d", b"redis_version:6", data)) as port:
        settings = on_redis(f"redis://127.0.0.1:{port}/0", "node-1")
        refused = pytest.raises(ProgramError, match=r"has version 6\..*; install Redis 7\.0 or Valkey, or newer")
        with refused, site(tmp_path, cxone, **settings):
            pass


@contextmanager
def relayed(redis_port: int, alter: Callable[[bytes], bytes]) -> Iterator[int]:
    """Pass on what clients of a port send to Redis, and alter what it responds; yield the port."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", redis_port)) as redis:
                threading.Thread(target=self._respond, args=(redis,)).start()
                while data := self.request.recv(65536):
                    redis.sendall(data)
                redis.shutdown(socket.SHUT_WR)

        def _respond(self, redis: socket.socket) -> None:
            with suppress(OSError):  # the client has closed
                while data := redis.recv(65536):
                    self.request.sendall(alter(data))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        serving = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield relay.server_address[1]
        finally:
            relay.shutdown()
            serving.join()


def test_a_chat_goes_on_after_a_restart(tmp_path: Path, server: RedisServer) -> None:
    shared = on_redis(server.url, "node-1")
    settings = {**shared, "http": {"listen": "127.0.0.1:0", **shared["http"]}}
    with simulator(tmp_path) as cxone:
        with chat_site(tmp_path, cxone, **settings) as chats:
            chat = chats.start("messaging")
            chat.event("handoff_accepted")
            chat.accept()
            chat.say("heard", id="m1")
            chat.event("message_delivered")
            chats.bridge.program.kill()
            chat.stack.close()
        with chat_site(tmp_path, cxone, **settings) as again:
            chat.project = again.project(chat.project.url.rpartition("/")[2])
            chat.listen()
            chat.repeat("again", "m2")
            chat.event("message_delivered")
            chat.end("bot")
            chat.event("chat_ended")
            chat.stack.close()
