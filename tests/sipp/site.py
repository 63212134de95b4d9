"""What the tests stand on: a bridge with several projects, its CXone, and calls from a trunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.audio import write_silence
from harness.bridge import Bridge, Project, bridge
from harness.metrics import Metrics
from harness.ports import free_port
from harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from harness.simulator import Simulator
from harness.sipp import Sipp, some_calls
from harness.waiting import wait_for

NUMBERS = {"acme": "+19995550001", "globex": "+19995550002", "initech": "+19995550003"}
GREETING = Path(__file__).resolve().parents[2] / "config" / "prompts" / "greeting.wav"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080", "headers": {"X-Queue": "sales"}}
CLIP_SECONDS = 30

_contacts = itertools.count(1)


@dataclass(frozen=True)
class Site:
    """A bridge and its CXone."""

    bridge: Bridge
    cxone: Simulator
    folder: Path
    desk_port: int

    def call(
        self,
        scenario: str,
        project: str = "release",
        *,
        client: str = "acme",
        number: str | None = None,
        shown_token: str | None = None,
        hold_seconds: float = 0,
        transport: str = "udp",
    ) -> PlacedCall:
        """Place a call of a contact that no other call has."""
        contact = Contact.new()
        keys = {
            "token": token(project) if shown_token is None else shown_token,
            "contact_id": contact.id,
            "main_contact_id": contact.main_id,
            "last_digits": NUMBERS[client][-4:],
        }
        remote = self.bridge.sip_tcp if transport == "tcp" else self.bridge.sip
        sipp = Sipp(
            scenario,
            self.folder,
            remote=remote,
            number=number or NUMBERS[client],
            keys=keys,
            transport=transport,
            options=some_calls(hold_seconds=hold_seconds),
        )
        return PlacedCall(sipp, contact, self.bridge.project(client, project, key(project)), self.cxone)

    def desk(self, scenario: str, *, hold_seconds: float = 0) -> Sipp:
        """Let a desk wait for the calls that the project `desk` hands off."""
        return Sipp(
            scenario, self.folder, port=self.desk_port, options=some_calls(hold_seconds=hold_seconds)
        ).await_port()

    def count(self) -> Counting:
        """Count from here on."""
        return Counting(self.bridge, self.bridge.metrics())


@dataclass(frozen=True)
class Contact:
    """Two ids as CXone gives them."""

    id: str
    main_id: str

    @classmethod
    def new(cls) -> Self:
        """One that this process has not used yet."""
        number = 115_500_000_000 + 10 * next(_contacts)
        return cls(str(number + 1), str(number))


@dataclass(frozen=True)
class PlacedCall:
    """A call from the trunk: what SIPp sees of it, what the bridge's records say, what CXone got."""

    sipp: Sipp
    contact: Contact
    project: Project
    cxone: Simulator

    def went_as_written(self, seconds: float = 30) -> Self:
        """Return once the scenario is through. Raises `SippError` where it did not go as written."""
        self.sipp.check(seconds)
        return self

    def answered(self) -> str:
        """Return the bridge's id of the call once it is answered."""
        return self.project.live_call(self.contact.id)

    def record(self) -> dict[str, Any]:
        """Return the record once the call is over."""
        return self.project.ended_call(self.contact.id)

    def left_no_record(self) -> bool:
        """Whether the bridge made no call of it."""
        return self.project.calls(self.contact.id) == []

    def handoff_state(self) -> dict[str, Any]:
        """Return what a screen-pop is told, as far as it is the handoff's."""
        answer = self.project.handoff_state(self.contact.id)
        data: dict[str, Any] = answer.json()["data"]
        return data

    def signals(self) -> list[dict[str, str]]:
        """Return the parameters of the Signals that the contact got."""
        return [signal["parameters"] for signal in self.cxone.signals(self.contact.id)]


@dataclass(frozen=True)
class Counting:
    """The bridge's counters, from a moment on."""

    bridge: Bridge
    before: Metrics

    def shows(self, value: float, name: str, **labels: str) -> bool:
        """Return once a counter has grown by that much: it is counted just after the last message is sent."""

        def grown() -> bool:
            return self.bridge.metrics().since(self.before, name, **labels) == value

        return wait_for(grown, f"{name}{labels} to grow by {value:g}", 5)


@contextmanager
def site(folder: Path, cxone: Simulator, **changes: Any) -> Iterator[Site]:  # noqa: ANN401 (YAML)
    """Run a bridge with all projects; `changes` are sections of its configuration, merged in."""
    desk_port = free_port()
    settings = bridge_settings(folder, clients(folder, cxone.url, desk_port))
    for section, values in changes.items():
        settings[section] = {**settings[section], **values} if isinstance(values, Mapping) else values
    with bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
        yield Site(running, cxone, folder, desk_port)


def clients(folder: Path, cxone_url: str, desk_port: int) -> dict[str, Settings]:
    """Three clients: one with a project for each behaviour, one that signals in the query, one whose CXone is off."""
    clip = folder / "clip.wav"
    write_silence(clip, CLIP_SECONDS)
    waiting = {"type": "prompt", "audio": str(clip)}
    desk = {"method": "invite", "uri": f"sip:desk@127.0.0.1:{desk_port}", "headers": {"X-Queue": "desk"}}
    acme = {
        "release": project_settings("release"),
        "refer": project_settings("refer", REFER),
        "desk": project_settings("desk", {**desk, "answer_timeout_seconds": 1}),
        "unsignalled": project_settings("unsignalled", {"signal": False}),
        "greeting": project_settings("greeting", agent={"type": "prompt", "audio": str(GREETING)}),
        "waiting": project_settings("waiting", agent=waiting),
        "short": project_settings("short", agent=waiting, max_call_seconds=1),
        "ending": project_settings("ending", agent={"type": "prompt", "then": "hangup"}),
    }
    globex = client_settings(NUMBERS["globex"], cxone_url, {"query": project_settings("query")})
    globex["cxone"]["parameters_in"] = "query"
    nobody = f"http://127.0.0.1:{free_port()}"
    initech = client_settings(NUMBERS["initech"], nobody, {"unheard": project_settings("unheard")})
    return {"acme": client_settings(NUMBERS["acme"], cxone_url, acme), "globex": globex, "initech": initech}
