"""A bridge whose projects have SIP agents, which SIPp plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, client_settings, project_settings
from tests.harness.sip.sip_messages import Message
from tests.harness.waiting import wait_for

from .site import NUMBERS, PlacedCall, Site, site

SILENT_SECONDS = 1


@dataclass(frozen=True)
class AgentSite:
    """A bridge with SIP agents on two ports; `backup` calls the second agent if the first is not reached."""

    trunk: Site
    ports: tuple[int, int]

    def agent(
        self,
        scenario: str,
        *,
        second: bool = False,
        hold_seconds: float = 0,
        sends_audio: bool = False,
        transport: str = "udp",
        keys: Mapping[str, str] | None = None,
    ) -> Sipp:
        """Start an agent that waits for a call. One that sends audio echoes what it receives, which is silence."""
        sipp = Sipp(
            scenario,
            self.trunk.folder,
            port=self.ports[second],
            keys=keys,
            transport=transport,
            options=[*call_options(hold_seconds=hold_seconds), *(["-rtp_echo"] if sends_audio else [])],
        )
        self.trunk.started.append(sipp)
        if transport == "tcp":
            wait_for(lambda: is_listening(sipp.port), f"SIPp on TCP port {sipp.port}")
            return sipp
        return sipp.await_port()

    def call(self, scenario: str, project: str = "bot", *, hold_seconds: float = 0) -> PlacedCall:
        """Place a call to a project."""
        return self.trunk.call(scenario, project, hold_seconds=hold_seconds)


def requests(agent: Sipp, method: str) -> list[Message]:
    """The requests of that method that the agent received in its call, without retransmissions.

    Requests that an earlier agent on the same port left unanswered are filtered out.
    """
    call_id = agent.received("INVITE")[0].header("Call-ID")
    of_call = (message for message in agent.received(method) if message.header("Call-ID") == call_id)
    return list({message.header("CSeq"): message for message in of_call}.values())


def outcomes(agent: Sipp) -> list[str]:
    """The status lines in the NOTIFY bodies that the agent received for its REFERs (RFC 3515, 2.4.5)."""
    return [message.body.strip().splitlines()[0] for message in requests(agent, "NOTIFY")]


@contextmanager
def agent_site(folder: Path, cxone: Simulator, **changes: Any) -> Iterator[AgentSite]:  # noqa: ANN401 (YAML)
    """Run a bridge with all projects. `changes` are those of `site`."""
    ports = reserved_port(), reserved_port()
    acme = client_settings(NUMBERS["acme"], cxone.url, _projects(*ports))
    with site(folder, cxone, clients={"acme": acme}, **changes) as trunk:
        yield AgentSite(trunk, ports)


def _projects(first: int, second: int) -> dict[str, Settings]:
    bot, spare = f"sip:bot@127.0.0.1:{first}", f"sip:bot@127.0.0.1:{second}"
    returning = _project("returning", bot)
    returning["handoff"]["take_back_seconds"] = 0.5
    return {
        "returning": returning,
        "bot": _project("bot", bot, headers={"X-Tenant": "acme", "X-Lang": "de"}),
        "backup": _project("backup", [bot, spare], answer_timeout_seconds=1),
        "tcp": _project("tcp", bot, transport="tcp"),
        "quiet": _project("quiet", bot, silence_timeout_seconds=SILENT_SECONDS),
        "patient": _project("patient", bot, grace_seconds=5),
        "kind": _project("kind", [bot, spare], failing="handoff", answer_timeout_seconds=1),
    }


def _project(
    name: str, uri: str | list[str], *, failing: str = "reject", grace_seconds: float = 0.5, **agent: object
) -> Settings:
    settings = project_settings(name, agent={"type": "sip", "uri": uri, **agent}, on_agent_failure=failing)
    settings["handoff"]["destinations"]["sales"] = {"skill": "10000003", "method": "release"}
    settings["handoff"]["signal"]["p4"] = "{data.order_id}"
    settings["handoff"]["release_grace_seconds"] = grace_seconds
    settings["handoff"]["allowed_routes"] = ["sip:*@127.0.0.1:5080"]
    return settings


def is_listening(port: int) -> bool:
    """Return True if a TCP socket of this machine listens on the port (proc(5), /proc/net/tcp: state 0A)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
