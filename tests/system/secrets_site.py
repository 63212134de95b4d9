"""A bridge with a known value for every secret, driven through every fault with a caller's data in it."""

from __future__ import annotations

import base64
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sipbridge.simulators.cxone import DEMO_TENANT
from tests.harness.media.audio import write_silence
from tests.harness.media.rtp_peer import RtpLoop
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.web.event_stream import EventStream
from tests.harness.web.http import fetch

from .site import NUMBERS, Contact, Site
from .websocket_site import ScriptedAgent, WebsocketSite, websocket_project

POP_SECRET = "pop-link-secret-0123456789"
AGENT_HEADER, AGENT_QUERY = "agent-header-secret", "agent-query-secret"
LINE_HEADER, DESK_HEADER = "line-header-secret", "desk-header-secret"
WRONG = {"client_secret": "refused-client-secret", "access_key_secret": "refused-key-secret"}
WRONG_TOKEN, WRONG_KEY = "token-of-a-stranger", "key-of-a-stranger"
PROJECTS = ("bot", "gone", "line", "desk", "greeting", "refused")
CLIP_SECONDS = 2
REFUSED_NUMBER = "+19995550077"

# Values that must appear nowhere.
SECRETS = (
    *map(token, PROJECTS),
    *map(key, PROJECTS),
    *(POP_SECRET, AGENT_HEADER, AGENT_QUERY, LINE_HEADER, DESK_HEADER),
    *(DEMO_TENANT.client_secret, DEMO_TENANT.access_key_secret),
    *WRONG.values(),
    base64.b64encode(f"{DEMO_TENANT.client_id}:{DEMO_TENANT.client_secret}".encode()).decode(),
    "Bearer ",
)
# Each differs from one of ours by one typing error.
NEAR_SECRETS = (WRONG_TOKEN, WRONG_KEY)

# The caller's data: in the records, and in no log line above debug.
CALLER, DIALLED = "5550100", "9995550"
DATA, PARAMETER, UTTERANCE, WORDS = "data-of-caller", "parameter-of-caller", "Zanzibar 4711", "transcript-of-caller"
HEADER = "calm"  # websocket_caller_forged_headers's X-Mood
PERSONAL = (CALLER, DIALLED, DATA, PARAMETER, "anzibar", WORDS, f'"{HEADER}"')

HANDOFF = {
    "utterance": UTTERANCE,
    "data": {"order_id": DATA},
    "parameters": {"p5": PARAMETER},
    "transcript": [{"role": "caller", "text": WORDS}],
}


@dataclass(frozen=True)
class SecretsSite:
    """The bridge, its agent, and the output collected from it."""

    site: WebsocketSite
    served: list[str]
    stored: list[bytes]

    def run_all(self) -> None:
        """Run good calls, then cause faults on every side."""
        self._agent_sends_faults()
        with self._lose_agent():  # takes a while
            self._hand_off_by_api()
            self._call_unreachable_parties()
            self._fail_cxone()
            self._send_unwanted_sip()
            self._send_unwanted_http()
        self._drop_tables()
        self._read_public_output()

    # ------------------------------------------------------------ calls

    def _agent_sends_faults(self) -> None:
        with self.site.call("bot", "websocket_caller_forged_headers") as call:
            agent = call.agent()
            sid = agent.stream_sid
            agent.send(f'{{"event": "{DATA}'.encode())
            agent.send({"event": DATA, "streamSid": sid, DATA: CALLER})
            agent.send({"event": "media", "streamSid": sid, "media": {"payload": f"{DATA}%"}})
            agent.send({"event": "handoff", "streamSid": sid, "handoff": {"destination": DATA}})
            agent.send({"event": "handoff", "streamSid": sid, "handoff": {"route": f"sip:+{CALLER}@{DATA}"}})
            agent.send({"event": "handoff", "streamSid": sid, "handoff": HANDOFF})
            call.wait_for_scenario()
            assert call.record()["handoff"]["data"] == {"order_id": DATA}

    @contextmanager
    def _lose_agent(self) -> Iterator[None]:
        with self.site.call("bot", "websocket_caller_forged_headers") as call:
            agent = call.agent()
            self.site.agents.reject_calls()
            agent.drop()
            yield
            assert call.wait_for_scenario().record()["handoff"]["reason"] == "agent_lost"

    def _hand_off_by_api(self) -> None:
        call = self.site.trunk.call("release", "greeting")
        call_id = call.wait_until_answered()
        self._read_store_files()  # the journal of calls in progress too
        assert call.project.request(f"calls/{call_id}/turns", "POST", {"turns": [WORDS]}).status == 422
        assert (
            call.project.request(f"calls/{call_id}/handoff", "POST", {"parameters": {"p10": PARAMETER}}).status == 422
        )
        assert call.project.request(f"calls/{call_id}/handoff", "POST", {"destination": DATA}).status == 422
        with EventStream(f"{call.project.url}/events", call.project.key) as events:
            assert call.project.request(f"calls/{call_id}/handoff", "POST", HANDOFF).status == 202
            call.wait_for_scenario()
            self.served.extend(map(str, events.until("call.ended", 5)))
        (signal,) = call.signals()
        link = urlsplit(signal["p9"]).path
        assert DATA in fetch(f"{self.site.trunk.bridge.http}{link}").body.decode()
        assert fetch(f"{self.site.trunk.bridge.http}{link}x").status == 403
        self.served.append(str(call.record()))

    def _call_unreachable_parties(self) -> None:
        line = self.site.trunk.call("agent_caller_480", "line")
        desk = self.site.trunk.call("release", "desk")
        with self.site.call("gone", "websocket_caller_forged_headers") as gone:
            assert gone.wait_for_scenario().record()["handoff"]["reason"] == "agent_unavailable"
        line.wait_for_scenario()
        assert desk.wait_for_scenario().record()["handoff"]["transfer"]

    def _fail_cxone(self) -> None:
        calls = [self.site.trunk.call("release", "refused", number=REFUSED_NUMBER)]
        for fault in ({"status": 500}, {"status": 404}, {"expire_tokens": True}):
            contact = Contact.new()
            self.site.trunk.cxone.fail("signal", contact_id=contact.id, **fault)
            calls.append(self.site.trunk.call("release", "desk", contact=contact))
        for call in calls:
            call.wait_for_scenario()

    def _drop_tables(self) -> None:
        self._read_store_files()
        with closing(sqlite3.connect(self.site.trunk.folder / "calls.db")) as database, database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                database.execute(f"DROP TABLE {table}")
        call = self.site.trunk.call("release", "desk").wait_for_scenario()
        self.site.trunk.bridge.wait_until_idle()
        assert self.site.trunk.bridge.metrics().value("sipbridge_store_errors_total") > 0
        # Records that the database does not accept wait in memory and are shown from there.
        assert call.project.handoff_state(call.contact.id).status == 200

    # ------------------------------------------------------------ strangers

    def _send_unwanted_sip(self) -> None:
        site = self.site.trunk
        site.call("bad_token", "bot", sent_token=WRONG_TOKEN).wait_for_scenario()
        site.call("unknown_number", "bot", number=f"+1{CALLER}").wait_for_scenario()
        site.call("malformed_contact_id", "bot").wait_for_scenario()
        site.call("truncated_body", "bot").wait_for_scenario()
        host, port = site.bridge.sip.split(":")
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            for start_line, from_header in (
                (f"INVITE sip:+{DIALLED}@ SIP/2.0", f"From: <sip:+{CALLER}@x>;tag=1\r\n"),
                (f"INVITE sip:+{DIALLED}@x SIP/2.0", ""),
                (f"BYE sip:+{CALLER}@x SIP/2.0", f"From: {CALLER}\r\n"),
                (f"{DATA} {token('bot')}", ""),
            ):
                # The Call-ID is an id, and the log shows it: an operator finds a rejected INVITE in a trace by it.
                message = (
                    f"{start_line}\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n{from_header}"
                    f"To: <sip:+{DIALLED}@x>\r\nCall-ID: stranger\r\nCSeq: {CALLER}x {start_line.split()[0]}\r\n"
                    f"X-Auth-Token: {token('bot')}\r\nContent-Length: 0\r\n\r\n"
                )
                stranger.sendto(message.encode(), (host, int(port)))

    def _send_unwanted_http(self) -> None:
        site = self.site.trunk
        for shown in (WRONG_KEY, key("bot")):
            self.served.append(str(site.bridge.project("acme", "greeting", shown).request("calls").body))
        site.bridge.project("acme", "bot", key("bot")).request(f"calls/{DATA}/handoff?key={key('bot')}", "POST", DATA)
        host, port = urlsplit(site.bridge.http).netloc.split(":")
        for line in (f"GET /{DATA}\x00 HTTP/1.1", f"GET /v1/acme/bot/calls?key={key('bot')} HTTP/9.9", DATA):
            with socket.create_connection((host, int(port)), timeout=10) as stranger:
                stranger.sendall(f"{line}\r\nx-api-key: {key('bot')}\r\nHost: x\r\n\r\n".encode())
                stranger.shutdown(socket.SHUT_WR)
                self.served.append(stranger.makefile("rb").read().decode(errors="replace"))

    # ------------------------------------------------------------ output

    def _read_public_output(self) -> None:
        bridge = self.site.trunk.bridge
        for path in ("metrics", "healthz", "readyz", "openapi.json", "nowhere"):
            self.served.append(fetch(f"{bridge.http}/{path}").body.decode())
        self.served.append(Path(f"/proc/{bridge.program.pid}/cmdline").read_text())
        self.served.append(bridge.ready_line)

    def log(self) -> str:
        """The bridge's log and output so far."""
        return self.site.trunk.bridge.program.log.read_text(errors="replace")

    def _read_store_files(self) -> None:
        self.stored.extend(file.read_bytes() for file in self.site.trunk.folder.glob("calls.db*"))


@contextmanager
def secrets_site(folder: Path, cxone: Simulator) -> Iterator[SecretsSite]:
    """Run the bridge at its most verbose log level."""
    with ExitStack() as stack:
        agents = stack.enter_context(ScriptedAgent())
        rtp = stack.enter_context(RtpLoop())
        settings = settings_of(folder, cxone.url, agents.url)
        running = stack.enter_context(bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}))
        trunk = Site(running, cxone, folder, desk_port=0)
        stack.callback(trunk.end_calls)
        yield SecretsSite(WebsocketSite(trunk, rtp, agents, spare_port=0), [], [])


def settings_of(folder: Path, cxone_url: str, agent_url: str) -> Settings:
    """A configuration with a secret in every field that may hold one."""
    clip = folder / "clip.wav"
    write_silence(clip, CLIP_SECONDS)
    closed_port = f"127.0.0.1:{reserved_port()}"
    header = {"Authorization": f"Bearer {AGENT_HEADER}"}
    short_timeout: dict[str, Any] = {"connect_timeout_seconds": 0.5, "headers": header}
    quotes = ["sh", "-c", "cat >&2; exit 1"]  # its text, in the error messages
    desk = {"method": "invite", "uri": f"sip:+{CALLER}@{closed_port}", "headers": {"X-Key": DESK_HEADER}}
    projects = {
        "bot": websocket_project("bot", f"{agent_url}?key={AGENT_QUERY}", agent=short_timeout, tts_command=quotes),
        "gone": websocket_project(
            "gone", f"ws://bot:{AGENT_QUERY}@{closed_port}/?key={AGENT_QUERY}", agent=short_timeout, failing="handoff"
        ),
        "line": project_settings(
            "line",
            agent={
                "type": "sip",
                "uri": f"sip:+{CALLER}@{closed_port}",
                "headers": {"X-Key": LINE_HEADER},
                "answer_timeout_seconds": 0.5,
            },
        ),
        "desk": project_settings("desk", desk | {"answer_timeout_seconds": 0.5}),
        "greeting": project_settings("greeting", agent={"type": "prompt", "audio": str(clip)}),
    }
    for project in projects.values():
        project["handoff"]["signal"] |= {"p4": "{data.order_id}", "p6": "{caller} {dialled}", "p9": "{pop_url}"}
        project["handoff"]["post_transcript"] = True
    refused = client_settings(REFUSED_NUMBER, cxone_url, {"refused": project_settings("refused")})
    refused["cxone"] |= WRONG
    acme = client_settings(NUMBERS["acme"], cxone_url, projects)
    settings = bridge_settings(folder, {"acme": acme, "refused": refused})
    settings["http"]["pop_link_secret"] = POP_SECRET
    return settings
