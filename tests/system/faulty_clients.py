"""A bridge with many clients: all CXones but one fail at the same moment, each in its own way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt

from tests.harness.cxone.faulty_proxy import (
    FaultyProxies,
    FaultyProxy,
    WireFault,
    faulty_proxies,
    http_response,
    send_and_close,
    send_and_hang,
    send_and_reset,
    send_forever,
)
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.usage import open_files, rss_mb

from .site import Contact

HEALTHY = "healthy"
HEALTHY_CALLS = 5
MEGABYTE = 1024 * 1024
HTML = "<html><title>We will be back soon</title></html>"
HALF_HEAD = b"HTTP/1.1 202 Accepted\r\nContent-"
HALF_BODY = http_response(200, b'{"half": ', Content_Length="1000")
BIG_JSON = b'{"pad": "' + 10 * MEGABYTE * b"x" + b'"}'
REFUSED, UNDELIVERED, UNKNOWN, ACCEPTED = "refused", "undelivered", "unknown", "accepted"

# What any endpoint may do on the wire, and the outcome if the Signal's response is affected.
WIRE: dict[str, tuple[WireFault, str]] = {
    "hang": (send_and_hang(), UNKNOWN),
    "hang-in-head": (send_and_hang(HALF_HEAD), UNKNOWN),
    "hang-in-body": (send_and_hang(HALF_BODY), ACCEPTED),
    "close": (send_and_close(), UNKNOWN),
    "close-in-head": (send_and_close(HALF_HEAD), UNKNOWN),
    "close-in-body": (send_and_close(HALF_BODY), ACCEPTED),
    "reset": (send_and_reset(), UNKNOWN),
    "reset-in-body": (send_and_reset(HALF_BODY), ACCEPTED),
    "ten-megabytes": (send_and_close(http_response(200, BIG_JSON)), ACCEPTED),
    "bomb": (send_and_close(http_response(200, gzip.compress(3 * BIG_JSON), Content_Encoding="gzip")), ACCEPTED),
    "endless": (
        send_forever(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (MEGABYTE, MEGABYTE * b"x")
        ),
        ACCEPTED,
    ),
    "endless-head": (send_forever(b"HTTP/1.1 200 OK\r\n", b"X-More: %b\r\n" % (MEGABYTE * b"x")), UNKNOWN),
    "endless-interim": (send_forever(b"", 10_000 * b"HTTP/1.1 100 Continue\r\n\r\n"), UNKNOWN),
    "html": (send_and_close(http_response(200, HTML, Content_Type="text/html; charset=utf-8")), UNKNOWN),
    "no-http": (send_and_close(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), UNKNOWN),
    "500": (send_and_close(http_response(500, HTML, Content_Type="text/html")), UNKNOWN),
}
# Responses of the token endpoint that contain no usable token.
NO_TOKEN = {
    "no-json": "{",
    "wrong-shape": '["access_token"]',
    "no-text": '{"access_token": {"a": 1}}',
    "header-in-it": '{"access_token": "a\\r\\nX-Evil: 1"}',
    "expired": '{"access_token": "a", "expires_in": -1}',
    "no-jwt": '{"access_token": "a", "id_token": "no.jwt"}',
}


@dataclass(frozen=True)
class Fault:
    """A client's CXone: its fault, and the outcome that the bridge must report."""

    proxy: FaultyProxy
    signal: str
    tokens: str | None
    """The expected `result` of its token requests; None if they succeed."""
    signals_sent: int
    cxone: Mapping[str, str]


@dataclass(frozen=True)
class HandoffResult:
    """The record of a client's call, and how long its handoff took (seconds)."""

    state: str
    signal: str
    seconds: float


@dataclass(frozen=True)
class FaultyClients:
    """The results of all clients."""

    faults: Mapping[str, Fault]
    results: Mapping[str, HandoffResult]
    healthy: list[HandoffResult]
    foreign_host: FaultyProxy
    bridge: Bridge
    folder: Path
    records: list[str]
    grown_mb: float
    files_before: int


@contextmanager
def faulty_clients_site(folder: Path, cxone: Simulator) -> Iterator[FaultyClients]:
    """Place one call per client at the same moment, and wait until each has ended."""
    with faulty_proxies(cxone.url) as proxies:
        foreign_host = proxies.open({}, "127.0.0.2")
        faults = _faults(proxies, foreign_host)
        numbers = {name: f"+1999555{place:04}" for place, name in enumerate([HEALTHY, *faults], 100)}
        clients = {name: client_settings(numbers[name], cxone.url, {name: project_settings(name)}) for name in numbers}
        for name, fault in faults.items():
            clients[name]["cxone"] |= {"issuer": fault.proxy.url, **fault.cxone}
        settings = bridge_settings(folder, clients)
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            memory, files = rss_mb(running.program.pid), open_files(running.program.pid)
            callers = [(name, Contact.new()) for name in (*faults, *HEALTHY_CALLS * [HEALTHY])]
            _call(running, folder, [(numbers[name], token(name), contact) for name, contact in callers])
            records = [
                (name, running.project(name, name, key(name)).ended_call(contact.id)) for name, contact in callers
            ]
            results = [(name, _handoff_result(record)) for name, record in records]
            yield FaultyClients(
                faults,
                {name: each for name, each in results if name != HEALTHY},
                [each for name, each in results if name == HEALTHY],
                foreign_host,
                running,
                folder,
                [json.dumps(record) for _, record in records],
                rss_mb(running.program.pid) - memory,
                files,
            )


def _faults(proxies: FaultyProxies, foreign_host: FaultyProxy) -> dict[str, Fault]:
    faults: dict[str, Fault] = {}

    def add(
        name: str, wire_faults: Mapping[str, WireFault], signal: str, tokens: str | None, sent: int, **cxone: str
    ) -> None:
        faults[name] = Fault(proxies.open(wire_faults), signal, tokens, sent, cxone)

    for endpoint in ("discovery", "token", "configuration"):
        for name, (wire_fault, _) in WIRE.items():
            add(f"{endpoint}-{name}", {endpoint: wire_fault}, UNDELIVERED, "upstream_error", 0)
        elsewhere = send_and_close(http_response(307, Location=f"{foreign_host.url}/auth/token"))
        add(f"{endpoint}-redirect", {endpoint: elsewhere}, UNDELIVERED, "upstream_error", 0)
    for name, (wire_fault, signal) in WIRE.items():
        add(f"signal-{name}", {"signal": wire_fault}, signal, None, 1)
    for status in (302, 307):
        elsewhere = send_and_close(
            http_response(status, Location=f"{foreign_host.url}/inContactAPI/services/v30.0/interactions/1/signal")
        )
        add(f"signal-{status}", {"signal": elsewhere}, REFUSED, None, 1)
    for status in (401, 403):  # a fresh token is rejected too
        add(f"signal-{status}", {"signal": send_and_close(http_response(status))}, REFUSED, None, 2)
    silent = proxies.open({"connection": send_and_hang()}).url.replace("http:", "https:")
    add("signal-no-tls", {}, UNDELIVERED, None, 0, api_url=silent)
    add("signal-no-connection", {}, UNDELIVERED, None, 0, api_url=f"http://127.0.0.1:{reserved_port()}")
    add("signal-no-such-name", {}, UNDELIVERED, None, 0, api_url="https://cxone.invalid")
    for name, body in NO_TOKEN.items():
        add(f"token-{name}", {"token": send_and_close(http_response(200, body))}, UNDELIVERED, "upstream_error", 0)
    for status, result in ((400, "client_error"), (401, "client_error"), (503, "upstream_error")):
        add(
            f"token-{status}",
            {"token": send_and_close(http_response(status, Retry_After="600"))},
            UNDELIVERED,
            result,
            0,
        )
    for name, expires_in in (("endless-life", "1e300"), ("no-life", "1e-9")):
        body = f'{{"access_token": "a", "expires_in": {expires_in}}}'
        wire_faults = {"token": send_and_close(http_response(200, body)), "signal": send_and_close(http_response(202))}
        proxy = proxies.open(wire_faults)
        faults[f"token-{name}"] = Fault(proxy, ACCEPTED, None, 1, {"api_url": proxy.url})
    body = json.dumps({"token_endpoint": f"{foreign_host.url}/auth/token"})
    add(
        "discovery-foreign-host",
        {"discovery": send_and_close(http_response(200, body))},
        UNDELIVERED,
        "upstream_error",
        0,
    )
    body = json.dumps({"api_endpoint": foreign_host.url})
    add(
        "configuration-foreign-host",
        {"configuration": send_and_close(http_response(200, body))},
        UNDELIVERED,
        "upstream_error",
        0,
    )
    claims = {"iss": foreign_host.url, "tenantId": "demo-tenant"}
    identity = jwt.encode(claims, "a key of 32 bytes that no one verifies", algorithm="HS256")
    body = json.dumps({"access_token": "a", "id_token": identity})
    add("token-foreign-host", {"token": send_and_close(http_response(200, body))}, UNDELIVERED, "upstream_error", 0)
    return faults


def _call(running: Bridge, folder: Path, callers: list[tuple[str, str, Contact]]) -> None:
    lines = [f"{number};{shown};{contact.id};{contact.main_id};" for number, shown, contact in callers]
    file = folder / "callers.csv"
    file.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    # Not all at the same instant: that would overload the bridge.
    options = [*call_options(len(callers)), "-r", "40", "-inf", str(file)]
    with Sipp("release_from_file", folder, remote=running.sip, options=options) as sipp:
        sipp.check(40)


def _handoff_result(record: Mapping[str, Any]) -> HandoffResult:
    handoff = record["handoff"]
    took = datetime.fromisoformat(record["ended_at"]) - datetime.fromisoformat(handoff["handoff_at"])
    return HandoffResult(handoff["state"], handoff["signal"], took.total_seconds())
