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

from tests.harness.cxone.rogue import Rogue, Rogues, Trick, answer, goes_on, hangs, resets, rogues, says
from tests.harness.ports import kept_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, some_calls
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.usage import open_files, rss_mb

from .site import Contact

HEALTHY = "healthy"
HEALTHY_CALLS = 5
MEGABYTE = 1024 * 1024
HTML = "<html><title>We will be back soon</title></html>"
HALF_HEAD = b"HTTP/1.1 202 Accepted\r\nContent-"
HALF_BODY = answer(200, b'{"half": ', Content_Length="1000")
BIG_JSON = b'{"pad": "' + 10 * MEGABYTE * b"x" + b'"}'
REFUSED, UNDELIVERED, UNKNOWN, ACCEPTED = "refused", "undelivered", "unknown", "accepted"

# What any endpoint may do on the wire, and the outcome if the Signal's response is affected.
WIRE: dict[str, tuple[Trick, str]] = {
    "hang": (hangs(), UNKNOWN),
    "hang-in-head": (hangs(HALF_HEAD), UNKNOWN),
    "hang-in-body": (hangs(HALF_BODY), ACCEPTED),
    "close": (says(), UNKNOWN),
    "close-in-head": (says(HALF_HEAD), UNKNOWN),
    "close-in-body": (says(HALF_BODY), ACCEPTED),
    "reset": (resets(), UNKNOWN),
    "reset-in-body": (resets(HALF_BODY), ACCEPTED),
    "ten-megabytes": (says(answer(200, BIG_JSON)), ACCEPTED),
    "bomb": (says(answer(200, gzip.compress(3 * BIG_JSON), Content_Encoding="gzip")), ACCEPTED),
    "endless": (
        goes_on(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (MEGABYTE, MEGABYTE * b"x")
        ),
        ACCEPTED,
    ),
    "endless-head": (goes_on(b"HTTP/1.1 200 OK\r\n", b"X-More: %b\r\n" % (MEGABYTE * b"x")), UNKNOWN),
    "endless-interim": (goes_on(b"", 10_000 * b"HTTP/1.1 100 Continue\r\n\r\n"), UNKNOWN),
    "html": (says(answer(200, HTML, Content_Type="text/html; charset=utf-8")), UNKNOWN),
    "no-http": (says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), UNKNOWN),
    "500": (says(answer(500, HTML, Content_Type="text/html")), UNKNOWN),
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

    rogue: Rogue
    signal: str
    tokens: str | None
    """The expected `result` of its token requests; None if they succeed."""
    signals_sent: int
    cxone: Mapping[str, str]


@dataclass(frozen=True)
class Told:
    """The record of a client's call, and how long its handoff took (seconds)."""

    state: str
    signal: str
    seconds: float


@dataclass(frozen=True)
class Storm:
    """The results of all clients."""

    faults: Mapping[str, Fault]
    told: Mapping[str, Told]
    healthy: list[Told]
    stranger: Rogue
    bridge: Bridge
    folder: Path
    answers: list[str]
    grown_mb: float
    files_before: int


@contextmanager
def storm(folder: Path, cxone: Simulator) -> Iterator[Storm]:
    """Place one call per client at the same moment, and wait until each has ended."""
    with rogues(cxone.url) as open_rogues:
        stranger = open_rogues.open({}, "127.0.0.2")
        faults = _faults(open_rogues, stranger)
        numbers = {name: f"+1999555{place:04}" for place, name in enumerate([HEALTHY, *faults], 100)}
        clients = {name: client_settings(numbers[name], cxone.url, {name: project_settings(name)}) for name in numbers}
        for name, fault in faults.items():
            clients[name]["cxone"] |= {"issuer": fault.rogue.url, **fault.cxone}
        settings = bridge_settings(folder, clients)
        with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
            memory, files = rss_mb(running.program.pid), open_files(running.program.pid)
            callers = [(name, Contact.new()) for name in (*faults, *HEALTHY_CALLS * [HEALTHY])]
            _call(running, folder, [(numbers[name], token(name), contact) for name, contact in callers])
            records = [
                (name, running.project(name, name, key(name)).ended_call(contact.id)) for name, contact in callers
            ]
            told = [(name, _told(record)) for name, record in records]
            yield Storm(
                faults,
                {name: each for name, each in told if name != HEALTHY},
                [each for name, each in told if name == HEALTHY],
                stranger,
                running,
                folder,
                [json.dumps(record) for _, record in records],
                rss_mb(running.program.pid) - memory,
                files,
            )


def _faults(open_rogues: Rogues, stranger: Rogue) -> dict[str, Fault]:
    faults: dict[str, Fault] = {}

    def add(name: str, tricks: Mapping[str, Trick], signal: str, tokens: str | None, sent: int, **cxone: str) -> None:
        faults[name] = Fault(open_rogues.open(tricks), signal, tokens, sent, cxone)

    for endpoint in ("discovery", "token", "configuration"):
        for name, (trick, _) in WIRE.items():
            add(f"{endpoint}-{name}", {endpoint: trick}, UNDELIVERED, "upstream_error", 0)
        elsewhere = says(answer(307, Location=f"{stranger.url}/auth/token"))
        add(f"{endpoint}-redirect", {endpoint: elsewhere}, UNDELIVERED, "upstream_error", 0)
    for name, (trick, signal) in WIRE.items():
        add(f"signal-{name}", {"signal": trick}, signal, None, 1)
    for status in (302, 307):
        elsewhere = says(answer(status, Location=f"{stranger.url}/inContactAPI/services/v30.0/interactions/1/signal"))
        add(f"signal-{status}", {"signal": elsewhere}, REFUSED, None, 1)
    for status in (401, 403):  # a fresh token is rejected too
        add(f"signal-{status}", {"signal": says(answer(status))}, REFUSED, None, 2)
    silent = open_rogues.open({"connection": hangs()}).url.replace("http:", "https:")
    add("signal-no-tls", {}, UNDELIVERED, None, 0, api_url=silent)
    add("signal-no-connection", {}, UNDELIVERED, None, 0, api_url=f"http://127.0.0.1:{kept_port()}")
    add("signal-no-such-name", {}, UNDELIVERED, None, 0, api_url="https://cxone.invalid")
    for name, body in NO_TOKEN.items():
        add(f"token-{name}", {"token": says(answer(200, body))}, UNDELIVERED, "upstream_error", 0)
    for status, result in ((400, "client_error"), (401, "client_error"), (503, "upstream_error")):
        add(f"token-{status}", {"token": says(answer(status, Retry_After="600"))}, UNDELIVERED, result, 0)
    for name, expires_in in (("endless-life", "1e300"), ("no-life", "1e-9")):
        body = f'{{"access_token": "a", "expires_in": {expires_in}}}'
        tricks = {"token": says(answer(200, body)), "signal": says(answer(202))}
        rogue = open_rogues.open(tricks)
        faults[f"token-{name}"] = Fault(rogue, ACCEPTED, None, 1, {"api_url": rogue.url})
    body = json.dumps({"token_endpoint": f"{stranger.url}/auth/token"})
    add("discovery-stranger", {"discovery": says(answer(200, body))}, UNDELIVERED, "upstream_error", 0)
    body = json.dumps({"api_endpoint": stranger.url})
    add("configuration-stranger", {"configuration": says(answer(200, body))}, UNDELIVERED, "upstream_error", 0)
    claims = {"iss": stranger.url, "tenantId": "demo-tenant"}
    identity = jwt.encode(claims, "a key of 32 bytes that no one verifies", algorithm="HS256")
    body = json.dumps({"access_token": "a", "id_token": identity})
    add("token-stranger", {"token": says(answer(200, body))}, UNDELIVERED, "upstream_error", 0)
    return faults


def _call(running: Bridge, folder: Path, callers: list[tuple[str, str, Contact]]) -> None:
    lines = [f"{number};{shown};{contact.id};{contact.main_id};" for number, shown, contact in callers]
    file = folder / "callers.csv"
    file.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    # Not all at the same instant: that would overload the bridge.
    options = [*some_calls(len(callers)), "-r", "40", "-inf", str(file)]
    with Sipp("release_from_file", folder, remote=running.sip, options=options) as sipp:
        sipp.check(40)


def _told(record: Mapping[str, Any]) -> Told:
    handoff = record["handoff"]
    took = datetime.fromisoformat(record["ended_at"]) - datetime.fromisoformat(handoff["handoff_at"])
    return Told(handoff["state"], handoff["signal"], took.total_seconds())
