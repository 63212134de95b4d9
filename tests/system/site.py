"""The base of most tests: a bridge with several projects, its CXone, and calls from a trunk."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.harness.media.audio import write_silence
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.nameserver import Nameserver
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for
from tests.harness.web.metrics import Metrics
from tests.soak.streams import with_own_contacts

# Clients with one project of the same name: faults of their CXone, or of their settings for it, affect only them.
SINGLE_PROJECT_CLIENTS = ("query", "unreachable", "busy", "hanging", "tripped", "crowded")
NUMBERS = {client: f"+199955500{place:02}" for place, client in enumerate(("acme", *SINGLE_PROJECT_CLIENTS), 1)}
GREETING = Path(__file__).resolve().parents[2] / "config" / "prompts" / "greeting.wav"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080", "headers": {"X-Queue": "sales"}}
CLIP_SECONDS = 6
LONG_CLIP_SECONDS = 100

_contacts = itertools.count(1)


@dataclass(frozen=True)
class Site:
    """A bridge and its CXone. Calls go to `proxy`, if there is one in front of the bridge."""

    bridge: Bridge
    cxone: Simulator
    folder: Path
    desk_port: int
    numbers: Mapping[str, str] = field(default_factory=lambda: NUMBERS)
    started: list[Sipp] = field(default_factory=list)
    proxy: str = ""

    def call(
        self,
        scenario: str,
        project: str = "release",
        *,
        number: str | None = None,
        sent_token: str | None = None,
        hold_seconds: float = 0,
        transport: str = "udp",
        contact: Contact | None = None,
        calls: int = 1,
    ) -> PlacedCall:
        """Place a call with a contact id of its own by default, or several at once with one contact id."""
        client = project if project in self.numbers else "acme"
        contact = contact or Contact.new()
        keys = {
            "token": token(project) if sent_token is None else sent_token,
            "contact_id": contact.id,
            "main_contact_id": contact.main_id,
            "digits": self.numbers[client][-4:],
            "fold": " ",
        }
        remote = self.proxy or (self.bridge.sip_tcp if transport == "tcp" else self.bridge.sip)
        sipp = Sipp(
            scenario,
            self.folder,
            remote=remote,
            number=number or self.numbers[client],
            keys=keys,
            transport=transport,
            options=call_options(calls, hold_seconds=hold_seconds),
        )
        self.started.append(sipp)
        return PlacedCall(sipp, client, contact, self.bridge.project(client, project, key(project)), self.cxone)

    def with_own_contacts(self, scenario: str) -> str:
        """Return a scenario whose simultaneous calls have a contact id each: `Contact.ids_of_calls` returns them."""
        return with_own_contacts(scenario, self.folder)

    def desk(self, scenario: str, *, hold_seconds: float = 0) -> Sipp:
        """Start a desk that waits for the calls that the project `desk` hands off."""
        return Sipp(
            scenario, self.folder, port=self.desk_port, options=call_options(hold_seconds=hold_seconds)
        ).await_port()

    def end_calls(self) -> None:
        """End the calls that a failed test left in progress."""
        while self.started:
            with self.started.pop():
                pass

    def settings(self) -> Settings:
        """Return the configuration in the file."""
        settings: Settings = yaml.safe_load((self.folder / "bridge.yaml").read_text())
        return settings

    def reload(self, text: str, outcome: str = "success") -> None:
        """Change the file, reload it, and wait until the bridge has reported the result."""
        count = self.count()
        (self.folder / "bridge.yaml").write_text(text)
        os.kill(self.bridge.program.pid, signal.SIGHUP)
        assert count.grows_by(1, "sipbridge_config_reloads_total", result=outcome)

    def count(self) -> CounterChanges:
        """Count from now on."""
        return CounterChanges(self.bridge, self.bridge.metrics())


@dataclass(frozen=True)
class Contact:
    """A contact id and a main contact id, as CXone formats them."""

    id: str
    main_id: str

    @classmethod
    def new(cls) -> Self:
        """Return a contact that this process has not used yet."""
        number = 115_500_000_000 + 10 * next(_contacts)
        return cls(str(number + 1), str(number))

    def ids_of_calls(self, calls: int) -> list[str]:
        """Return the contact ids of this many simultaneous calls."""
        return [f"{self.id}-{number}" for number in range(1, calls + 1)]


@dataclass(frozen=True)
class PlacedCall:
    """A call from the trunk: the SIP messages, the bridge's records, and the Signals at CXone."""

    sipp: Sipp
    client: str
    contact: Contact
    project: Project
    cxone: Simulator

    def wait_for_scenario(self, seconds: float = 30) -> Self:
        """Return once the scenario has ended. Raises `SippError` if it did not go as written."""
        self.sipp.check(seconds)
        return self

    def wait_until_answered(self) -> str:
        """Return the bridge's id of the call once it is answered."""
        return self.project.live_call(self.contact.id)

    def record(self) -> dict[str, Any]:
        """Return the record once the call has ended."""
        return self.project.ended_call(self.contact.id)

    def has_no_record(self) -> bool:
        """True if the bridge has no record of the call."""
        return self.project.calls(self.contact.id) == []

    def handoff_state(self) -> dict[str, Any]:
        """Return the handoff's part of the screen-pop data."""
        answer = self.project.handoff_state(self.contact.id)
        data: dict[str, Any] = answer.json()["data"]
        return data

    def signals(self) -> list[dict[str, str]]:
        """Return the parameters of the Signals for the contact."""
        return [signal["parameters"] for signal in self.cxone.signals(self.contact.id)]


@dataclass(frozen=True)
class CounterChanges:
    """The bridge's counters, relative to one moment."""

    bridge: Bridge
    before: Metrics

    def grows_by(self, value: float, name: str, **labels: str) -> bool:
        """Return once a counter has grown by that much: it is incremented just after the last message is sent."""

        def grown() -> bool:
            return self.bridge.metrics().since(self.before, name, **labels) == value

        return wait_for(grown, f"{name}{labels} to grow by {value:g}", 5)

    def growth(self, name: str, **labels: str) -> float:
        """Return by how much a counter has grown so far."""
        return self.bridge.metrics().since(self.before, name, **labels)


@contextmanager
def site(
    folder: Path,
    cxone: Simulator,
    *,
    launcher: Sequence[str | Path] = (),
    nameserver: Nameserver | None = None,
    **changes: Any,  # noqa: ANN401 (YAML)
) -> Iterator[Site]:
    """Run a bridge with all projects, under the command `launcher`, with `nameserver` as its name server.

    `changes` are sections merged into its configuration.
    """
    desk_port = reserved_port()
    settings = bridge_settings(folder, clients(folder, cxone.url, desk_port))
    for section, values in changes.items():
        settings[section] = {**settings.get(section, {}), **values} if isinstance(values, Mapping) else values
    with bridge(
        settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}, nameserver=nameserver, launcher=launcher
    ) as running:
        trunk = Site(running, cxone, folder, desk_port)
        try:
            yield trunk
        finally:
            trunk.end_calls()


def clients(folder: Path, cxone_url: str, desk_port: int) -> dict[str, Settings]:
    """One client with a project for each behaviour, and the clients that have a single project."""
    clip = folder / "clip.wav"
    write_silence(clip, CLIP_SECONDS)
    lasting = folder / "lasting.wav"
    write_silence(lasting, LONG_CLIP_SECONDS)
    desk = {"method": "invite", "uri": f"sip:desk@127.0.0.1:{desk_port}", "headers": {"X-Queue": "desk"}}
    greeting = {"type": "prompt", "audio": str(GREETING)}
    projects = {
        "release": project_settings("release"),
        "refer": project_settings("refer", REFER),
        "desk": project_settings("desk", {**desk, "answer_timeout_seconds": 1}),
        "unsignalled": project_settings("unsignalled", {"signal": False}),
        "greeting": project_settings("greeting", agent=greeting),
        "waiting": project_settings("waiting", agent={"type": "prompt", "audio": str(clip)}),
        "lasting": project_settings(
            "lasting", agent={"type": "prompt", "audio": str(lasting)}, media_timeout_seconds=3600
        ),
        "transcribed": project_settings("transcribed", agent=greeting),
        "short": project_settings("short", agent=greeting, max_call_seconds=1),
        "ending": project_settings("ending", agent={"type": "prompt", "then": "hangup"}),
        "ending-unsignalled": project_settings("ending-unsignalled", agent={"type": "prompt", "then": "hangup"}),
    }
    projects["ending-unsignalled"]["handoff"]["end_signal"] = {}
    projects["transcribed"]["handoff"]["post_transcript"] = True
    single_project_clients = {
        name: client_settings(NUMBERS[name], cxone_url, {name: project_settings(name)})
        for name in SINGLE_PROJECT_CLIENTS
    }
    single_project_clients["query"]["cxone"]["parameters_in"] = "query"
    single_project_clients["unreachable"]["cxone"]["issuer"] = f"http://127.0.0.1:{reserved_port()}"
    return {"acme": client_settings(NUMBERS["acme"], cxone_url, projects), **single_project_clients}
