"""SIP agents that cannot be connected to: the log names the address and the reason."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.harness.certificates import Authority, tls_settings
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings, token
from tests.harness.sip.tls_caller import StreamCaller, connect, offer
from tests.harness.waiting import wait_for

from .site import Contact

NUMBER = "+19995550072"
Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Run a TCP server that does this with each connection."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _close(connection: socket.socket) -> None:
    connection.recv(65536)


def _close_at_once(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset


def _respond_http(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.recv(65536)


def _tls(context: ssl.SSLContext) -> Serve:
    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)

    return serve


def _context(authority: Authority, *identities: str) -> ssl.SSLContext:
    pair = authority.issue(f"server-{'-'.join(identities)}", *identities)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


class Site:
    """A bridge over TCP and TLS, and an agent for each way to be unreachable."""

    def __init__(self, running: Bridge, folder: Path, ports: dict[str, int]) -> None:
        self.running = running
        self.folder = folder
        self.ports = ports

    def log(self) -> list[str]:
        return (self.folder / "bridge.log").read_text().splitlines()

    def why(self, project: str) -> str:
        """Call the project, which rejects the caller; return the log's message about the agent."""
        with StreamCaller(self.running.sip_tcp, connect(self.running.sip_tcp)) as line:
            headers = {"X-Auth-Token": token(project), "X-InContact-ContactId": Contact.new().id}
            answer = line.invite(NUMBER, {**headers, "Content-Type": "application/sdp"}, offer(9))
            assert answer.status == 480
        marks = ('"event":"agent_unavailable"', f'"project":"{project}"')
        lines: list[str] = []

        def found() -> bool:
            lines[:] = [line for line in self.log() if all(mark in line for mark in marks)]
            return bool(lines)

        wait_for(found, "the log line about the agent")
        return lines[-1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("unreachable")
    authority, other = Authority(folder), Authority(folder, "other")
    with ExitStack() as stack:
        ports = {
            "refused-tcp": reserved_port(),
            "refused-tls": reserved_port(),
            "closing-tcp": stack.enter_context(server(_close)),
            "closing-tls": stack.enter_context(server(_close)),
            "reset-tls": stack.enter_context(server(_close_at_once)),
            "http-tls": stack.enter_context(server(_respond_http)),
            "untrusted-tls": stack.enter_context(server(_tls(_context(other, "127.0.0.1")))),
            "elsewhere-tls": stack.enter_context(server(_tls(_context(authority, "agents.test")))),
        }
        agents = {
            name: f"sip:agent@127.0.0.1:{port};transport={name.rpartition('-')[2]}" for name, port in ports.items()
        }
        projects = {
            name: project_settings(name, agent={"type": "sip", "uri": uri}, on_agent_failure="reject")
            for name, uri in agents.items()
        }
        sip = {
            "listen": ["tls://127.0.0.1:0", "tcp://127.0.0.1:0"],
            "tls": tls_settings(authority.issue("bridge"), authority, require=False),
        }
        settings = bridge_settings(folder, {"hall": client_settings(NUMBER, cxone.url, projects)}, sip=sip)
        yield Site(stack.enter_context(bridge(settings, folder)), folder, ports)


REFUSED = "its certificate is not accepted; the log line tls_failed says why"


@pytest.mark.parametrize(
    ("project", "why"),
    [
        ("refused-tcp", "connection refused"),
        ("refused-tls", "connection refused"),
        ("closing-tcp", "the peer closed the connection"),
        ("closing-tls", "the peer closed the connection"),
        ("reset-tls", "connection reset by peer"),
        ("http-tls", "the peer does not speak TLS"),
        ("untrusted-tls", REFUSED),
        ("elsewhere-tls", REFUSED),
    ],
)
def test_the_log_states_the_agents_address_and_why_the_connection_failed(site: Site, project: str, why: str) -> None:
    transport = project.rpartition("-")[2]
    assert f"no connection to {transport}://127.0.0.1:{site.ports[project]}: {why}" in site.why(project)


@pytest.mark.parametrize(
    ("project", "why"),
    [
        ("refused-tls", "connection refused"),
        ("untrusted-tls", "the certificate is untrusted"),
        ("elsewhere-tls", "its certificate is for another name"),
    ],
)
def test_an_outgoing_tls_connection_that_fails_has_a_log_line_of_its_own(site: Site, project: str, why: str) -> None:
    line = f"TLS connection to 127.0.0.1, port {site.ports[project]}, failed: {why}"

    def call_logs_it() -> bool:
        site.why(project)
        return any(line in each for each in site.log())

    # The log leaves out lines of a kind that had many in the same second, as those of the other tests here.
    wait_for(call_logs_it, f"the log line {line!r}")
