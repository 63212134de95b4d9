"""The bridge as a program, and its HTTP interface."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.harness.waiting import wait_for
from tests.harness.web.http import Answer, fetch
from tests.harness.web.metrics import Metrics

from .nameserver import Nameserver
from .program import Program

SIPBRIDGE = Path(sys.executable).with_name("sipbridge")
ENDED = "ended"


class Bridge:
    """A running bridge, with the addresses from its ready line."""

    def __init__(self, program: Program, ready: str) -> None:
        self.program = program
        self.ready_line = ready
        addresses = dict(re.findall(r"\b(udp|tcp|tls|http http|admin http)://((?:127\.0\.0\.\d+|\[::1\]):\d+)", ready))
        self.sip = addresses.get("udp", "")
        self.sip_tcp = addresses.get("tcp", "")
        self.sip_tls = addresses.get("tls", "")
        self.http = f"http://{addresses['http http']}"
        self.admin = f"http://{addresses['admin http']}" if "admin http" in addresses else self.http

    def metrics(self) -> Metrics:
        """Read the metrics."""
        return Metrics(self.metrics_page())

    def metrics_page(self) -> str:
        """Read the metrics as text."""
        return fetch(f"{self.http}/metrics").body.decode()

    def wait_for_metric(self, value: float, name: str, seconds: float = 10.0, **labels: str) -> None:
        """Return once a metric has a value. Raises `TimeoutError`."""
        wait_for(lambda: self.metrics().value(name, **labels) == value, f"{name}{labels} to be {value:g}", seconds)

    def calls_in_progress(self) -> int:
        """Count the calls in progress."""
        return round(self.metrics().value("sipbridge_calls_active"))

    def wait_until_idle(self, seconds: float = 10.0) -> None:
        """Return once no call is in progress. Raises `TimeoutError`."""
        wait_for(lambda: self.calls_in_progress() == 0, "no call in progress", seconds)

    def project(self, client: str, project: str, key: str) -> Project:
        """The HTTP API of one project."""
        return Project(f"{self.http}/v1/{client}/{project}", key)


class Project:
    """The HTTP API of a project, as its agent or its CRM uses it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def request(self, path: str, method: str = "GET", body: object = None) -> Answer:
        """Send a request to a path of the project."""
        return fetch(f"{self.url}/{path}", method, headers={"x-api-key": self.key}, body=body)

    def calls(self, contact_id: str) -> list[dict[str, Any]]:
        """Return the calls of a contact, newest first."""
        found: list[dict[str, Any]] = self.request("calls?limit=200").json()["calls"]
        return [call for call in found if call["contact_id"] == contact_id]

    def call(self, call_id: str) -> dict[str, Any] | None:
        """Return a call in full, or None."""
        answer = self.request(f"calls/{call_id}")
        return answer.json() if answer.status == 200 else None

    def live_call(self, contact_id: str) -> str:
        """Return the id of the contact's call once it is answered."""

        def talking() -> str | None:
            return next((call["id"] for call in self.calls(contact_id) if call["state"] == "talking"), None)

        return wait_for(talking, f"an answered call of contact {contact_id}")

    def ended_call(self, contact_id: str, seconds: float = 10.0) -> dict[str, Any]:
        """Return the contact's call in full once it has ended."""

        def ended() -> dict[str, Any] | None:
            found = next((call for call in self.calls(contact_id) if call["state"] == ENDED), None)
            return self.call(found["id"]) if found else None

        return wait_for(ended, f"the end of the call of contact {contact_id}", seconds)

    def handoff_state(self, shared_id: str) -> Answer:
        """Request a handoff's state as a screen-pop does."""
        return self.request(f"handoff_state?{urlencode({'shared_id': shared_id})}")


@contextmanager
def bridge(
    config: Mapping[str, Any],
    folder: Path,
    *,
    name: str = "bridge",
    environ: Mapping[str, str] | None = None,
    nameserver: Nameserver | None = None,
    launcher: Sequence[str | Path] = (),
) -> Iterator[Bridge]:
    """Run a bridge with a configuration; its file and its log are in the folder.

    `nameserver` resolves its host names; `launcher` is a command that prepares an environment and then
    executes the bridge.
    """
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    launcher = (*launcher, *(_with_nameserver(folder, nameserver) if nameserver else ()))
    with running_bridge(file, folder / f"{name}.log", environ or {}, launcher) as running:
        yield running


def _with_nameserver(folder: Path, nameserver: Nameserver) -> list[str | Path]:
    """Return the command that runs a program with a `resolv.conf` of its own, in a mount namespace (unshare(1))."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver 127.0.0.1:{nameserver.port}\n")  # c-ares reads the port, too
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", *user, "sh", "-c", script, file]


@contextmanager
def running_bridge(
    config: Path, log: Path, environ: Mapping[str, str], launcher: Sequence[str | Path] = ()
) -> Iterator[Bridge]:
    """Run a bridge with a configuration file, and more environment variables; `launcher` starts it."""
    with Program([*launcher, SIPBRIDGE, "run", "--config", config], log, environ=environ) as program:
        yield Bridge(program, program.line_with("ready"))
