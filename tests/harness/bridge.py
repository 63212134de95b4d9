"""The bridge as a program of its own, and what can be asked of it from outside."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from .http import Answer, fetch
from .metrics import Metrics
from .program import Program
from .waiting import wait_for

SIPBRIDGE = Path(sys.executable).with_name("sipbridge")
ENDED = "ended"


class Bridge:
    """A running bridge: where it listens, what it says of itself."""

    def __init__(self, program: Program, ready: str) -> None:
        self.program = program
        self.ready_line = ready
        addresses = dict(re.findall(r"\b(udp|tcp|tls|http)://(127\.0\.0\.1:\d+)", ready))
        self.sip = addresses.get("udp", "")
        self.sip_tcp = addresses.get("tcp", "")
        self.sip_tls = addresses.get("tls", "")
        self.http = f"http://{addresses['http']}"

    def metrics(self) -> Metrics:
        """Read the metrics."""
        return Metrics(fetch(f"{self.http}/metrics").body.decode())

    def wait_for_metric(self, value: float, name: str, seconds: float = 10.0, **labels: str) -> None:
        """Return once a metric has a value. Raises `TimeoutError`."""
        wait_for(lambda: self.metrics().value(name, **labels) == value, f"{name}{labels} to be {value:g}", seconds)

    def project(self, client: str, project: str, key: str) -> Project:
        """The HTTP API of one project."""
        return Project(f"{self.http}/v1/{client}/{project}", key)


class Project:
    """The HTTP API of a project, as its agent or its CRM uses it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def ask(self, path: str, method: str = "GET", body: object = None) -> Answer:
        """Send a request to a path of the project."""
        return fetch(f"{self.url}/{path}", method, headers={"x-api-key": self.key}, body=body)

    def calls(self, contact_id: str) -> list[dict[str, Any]]:
        """Return the calls of a contact, newest first."""
        found: list[dict[str, Any]] = self.ask("calls?limit=200").json()["calls"]
        return [call for call in found if call["contact_id"] == contact_id]

    def call(self, call_id: str) -> dict[str, Any] | None:
        """Return a call in full, or None."""
        answer = self.ask(f"calls/{call_id}")
        return answer.json() if answer.status == 200 else None

    def live_call(self, contact_id: str) -> str:
        """Return the id of the contact's call once it is answered."""

        def talking() -> str | None:
            return next((call["id"] for call in self.calls(contact_id) if call["state"] == "talking"), None)

        return wait_for(talking, f"an answered call of contact {contact_id}")

    def ended_call(self, contact_id: str, seconds: float = 10.0) -> dict[str, Any]:
        """Return the contact's call in full once it is over."""

        def ended() -> dict[str, Any] | None:
            found = next((call for call in self.calls(contact_id) if call["state"] == ENDED), None)
            return self.call(found["id"]) if found else None

        return wait_for(ended, f"the end of the call of contact {contact_id}", seconds)

    def handoff_state(self, shared_id: str) -> Answer:
        """Ask for a handoff as a screen-pop does."""
        return self.ask(f"handoff_state?{urlencode({'shared_id': shared_id})}")


@contextmanager
def bridge(
    config: Mapping[str, Any], folder: Path, *, name: str = "bridge", environ: Mapping[str, str] | None = None
) -> Iterator[Bridge]:
    """Run a bridge with a configuration; its file and its log are in the folder."""
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    with running_bridge(file, folder / f"{name}.log", environ or {}) as running:
        yield running


@contextmanager
def running_bridge(config: Path, log: Path, environ: Mapping[str, str]) -> Iterator[Bridge]:
    """Run a bridge with a configuration file, and more variables in its environment."""
    with Program([SIPBRIDGE, "run", "--config", config], log, environ=environ) as program:
        yield Bridge(program, program.line_with("ready"))
