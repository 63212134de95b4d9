"""The bridge of a soak and its surroundings: CXone, agents, desks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.media.audio import write_silence
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import (
    Settings,
    bridge_settings,
    client_settings,
    key,
    project_settings,
)

from .agents import RandomAgent, RtpEcho
from .chat_bot import WEBHOOK_SECRET
from .chat_channels import all_kinds_project
from .chat_talk import ChatTraffic
from .footprint import Footprint
from .streams import NUMBER, STREAMS, CallCounts, end_called_party, stat_options

CLIENT = "acme"
CHAT_PROJECT = "chat"
CLIP_SECONDS = 3
READS_AT_ONCE = 32
LONG_CLIP_SECONDS = 5  # the bridge must notice before this that the caller's RTP has stopped
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080", "headers": {"X-Queue": "sales"}}
SALES = "<sip:sales@127.0.0.1?X-Handoff-Reason=asked%20for%20it&X-Handoff-Data-Order-Id=7>"
# The called parties: the stream whose calls they answer, and their scenario.
CALLED_PARTIES = {
    "desk": "desk_answers",
    "desk-busy": "desk_busy",
    "sip": "agent_refers",
    "sip-bye": "agent_bye_handoff",
    "sip-busy": "agent_busy",
    "cancel": "agent_rings",
}


@dataclass(frozen=True)
class SoakSite:
    """All programs, running."""

    bridge: Bridge
    cxone: Simulator
    agents: RandomAgent
    rtp: RtpEcho
    chats: ChatTraffic
    store: Path
    parties: dict[str, Sipp]

    @property
    def journal(self) -> Path:
        """The bridge's journal of calls."""
        (file,) = self.store.parent.glob("*.journal")
        return file

    def footprint(self) -> Footprint:
        """The resources that the bridge holds now."""
        return Footprint.of(self.bridge, self.cxone.url, self.chats.webhook_url)

    def start_all_readers(self) -> None:
        """Read both stores many times at once: a thread that reads starts only once the others are busy.

        Otherwise its connection would count as left behind if calls made it start after the warm-up.
        """
        project = self.bridge.project(CLIENT, CHAT_PROJECT, key(CHAT_PROJECT))
        paths = ["calls?limit=200", "chats?limit=200"] * READS_AT_ONCE
        with ThreadPoolExecutor(READS_AT_ONCE) as requests:
            if any(answer.status != 200 for answer in requests.map(project.request, paths)):
                raise RuntimeError("the stores cannot be read")

    def end_called_parties(self) -> list[CallCounts]:
        """End the called parties, and return SIPp's counts of their calls."""
        return [
            end_called_party(stream, self.parties[stream.name]) for stream in STREAMS if stream.name in self.parties
        ]

    def reload(self) -> None:
        """Reload the bridge's configuration."""
        os.kill(self.bridge.program.pid, signal.SIGHUP)


@contextmanager
def soak_site(folder: Path, seed: int) -> Iterator[SoakSite]:
    """Run it."""
    with ExitStack() as stack:
        cxone = stack.enter_context(simulator(folder))
        agents = stack.enter_context(RandomAgent(seed))
        rtp = stack.enter_context(RtpEcho())
        cxone.desk.automate(reply="{number} {text}")
        chats = stack.enter_context(ChatTraffic(key(CHAT_PROJECT), seed))
        parties = {stream: stack.enter_context(_called_party(folder, stream)) for stream in CALLED_PARTIES}
        ports = {stream: sipp.port for stream, sipp in parties.items()}
        projects = _projects(folder, agents.url, ports)
        webhook = {"url": chats.webhook_url, "secret": WEBHOOK_SECRET}
        projects[CHAT_PROJECT] = all_kinds_project(CHAT_PROJECT, cxone.url, webhook=webhook)
        settings = bridge_settings(folder, {CLIENT: client_settings(NUMBER, cxone.url, projects)})
        url = f"127.0.0.1:{reserved_port()}"
        settings["http"] |= {"listen": url, "public_url": f"http://{url}"}  # of the box
        running = stack.enter_context(bridge(settings, folder))
        yield SoakSite(running, cxone, agents, rtp, chats, folder / "calls.db", parties)


def _called_party(folder: Path, stream: str) -> Sipp:
    keys = {"refer_to": SALES, "destination": "sales", "parameter": "P4", "fold": " "}
    own = folder / f"called-{stream}"
    own.mkdir()
    options = ["-d", "300", "-rtp_echo", "-l", "10000", *stat_options(own)]
    return Sipp(CALLED_PARTIES[stream], own, keys=keys, options=options).await_port()


def _projects(folder: Path, websocket_url: str, ports: dict[str, int]) -> dict[str, Settings]:
    clip = folder / "talk.wav"
    write_silence(clip, CLIP_SECONDS)
    waiting = {"type": "prompt", "audio": str(clip)}

    def desk(stream: str) -> dict[str, Any]:
        uri = f"sip:desk@127.0.0.1:{ports[stream]}"
        return {"method": "invite", "uri": uri, "headers": {"X-Queue": "desk"}, "answer_timeout_seconds": 5}

    def sip(stream: str) -> dict[str, Any]:
        return {"type": "sip", "uri": f"sip:bot@127.0.0.1:{ports[stream]}", "answer_timeout_seconds": 10}

    projects = {name: project_settings(name) for name in ("release", "taken", "no-codec", "two-ids")}
    projects |= {name: project_settings(name, REFER) for name in ("refer", "refer-busy", "refer-bye")}
    projects |= {name: project_settings(name, desk(name)) for name in ("desk", "desk-busy")}
    projects |= {name: project_settings(name, agent=sip(name)) for name in ("sip", "sip-bye", "sip-busy", "cancel")}
    projects |= {name: project_settings(name, agent=waiting) for name in ("api", "early", "silent")}
    long_clip = folder / "long-talk.wav"
    write_silence(long_clip, LONG_CLIP_SECONDS)
    projects["rtp-stops"] = project_settings(
        "rtp-stops", agent={"type": "prompt", "audio": str(long_clip)}, media_timeout_seconds=1
    )
    projects["websocket"] = project_settings("websocket", agent={"type": "websocket", "url": websocket_url})
    projects["websocket-404"] = project_settings(
        "websocket-404",
        agent={"type": "websocket", "url": f"http://127.0.0.1:{reserved_port()}/".replace("http", "ws")},
    )
    # Longer than SIPp takes to hang up on a slow machine.
    projects["taken"]["handoff"]["release_grace_seconds"] = 5
    projects["ending"] = project_settings("ending", agent={"type": "prompt", "then": "hangup"})
    for project in projects.values():
        project["handoff"]["destinations"]["sales"] = {"skill": "10000003", "method": "release"}
        project["handoff"]["end_signal"] = {"p1": "End"}
    return projects
