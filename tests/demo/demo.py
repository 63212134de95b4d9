"""`make demo`: a caller talks to an agent, the agent hands off, and CXone takes the call; then the timeline of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

from sipbridge.terminal import Style
from sipbridge.trial_call.timeline import Step, of_events, of_signals, of_sip
from tests.demo import timeline
from tests.harness.media.rtp_peer import RtpLoop, RtpPort
from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, Bridge, Project, running_bridge
from tests.harness.programs.program import Program, ProgramError
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp, SippError
from tests.harness.web.event_stream import EventStream
from tests.harness.web.http import fetch

from .caller import Caller
from .report import Report, print_and_wait, print_line

CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo.yaml"
NUMBER, TOKEN, KEY = "+19995550001", "demo-token", "demo-api-key"
CONTACT, MAIN_CONTACT = "115500123456", "115500123450"
HANDOFF = (
    "--destination",
    "sales",
    "--reason",
    "asked_for_human",
    "--utterance",
    "One moment, a colleague takes over.",
)
HANDOFF_SECONDS = 15
EXPECTED = (
    *("INVITE", "100", "call.started", "180", "agent", "200", "ACK"),
    *("greeting", "spoke", "echo", "key", "handoff.started", "farewell", "stored", "signal"),
    *("REFER", "202", "NOTIFY", "BYE", "call.ended", "handoff.finished"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every step was observed."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave bridge, agent and simulator running until Ctrl-C")
    options = parser.parse_args(arguments)
    report = Report(EXPECTED, Style.of_output())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipbridge-demo-")))
        cxone = stack.enter_context(simulator(folder))
        agent = stack.enter_context(_agent(folder))
        agent_ready = agent.line_with("ready")
        environ = {
            "DEMO_AGENT_PORT": agent_ready.partition("ws://127.0.0.1:")[2].partition("/")[0],
            "DEMO_CXONE": cxone.url,
            "DEMO_FOLDER": str(folder),
            "DEMO_HTTP_PORT": str(free_port()),
            "DEMO_SIP_PORT": "0",
            "SIPBRIDGE_LOG_LEVEL": "DEBUG",
        }
        bridge = stack.enter_context(running_bridge(CONFIG, folder / "bridge.log", environ))
        project = bridge.project("demo", "billing", KEY)
        report.heading("A caller, an agent, a handoff", bridge.ready_line, agent_ready, f"simulated CXone: {cxone.url}")
        with RtpLoop() as rtp, rtp.port() as port:
            steps, trouble = _call(folder, bridge, cxone, project, agent, port)
        steps = report.in_order(steps)
        report.timeline(steps)
        complete = report.is_complete(steps, trouble)
        _print_state(project, report.style)
        page_works = _print_page(cxone, report.style)
        if options.keep:
            print_and_wait(
                "\nBridge, agent and simulator run until Ctrl-C: open the page in a browser;"
                " the command above works in another terminal."
            )
    if not options.keep:
        report.hint(
            "Bridge, agent and simulator have stopped. To keep them running, for the page and the command above:\n"
            "  make demo KEEP=1"
        )
    return 0 if complete and page_works else 1


def _agent(folder: Path) -> Program:
    return Program([SIPBRIDGE, "agent", "--listen", "127.0.0.1:0", *HANDOFF], folder / "agent.log")


def _call(
    folder: Path, bridge: Bridge, cxone: Simulator, project: Project, agent: Program, port: RtpPort
) -> tuple[list[Step], str]:
    """Place the call; return the steps, and what went wrong."""
    keys = {"token": TOKEN, "contact_id": CONTACT, "main_contact_id": MAIN_CONTACT, "rtp_port": str(port.port)}
    steps: list[Step] = []
    trouble = ""
    with EventStream(f"{project.url}/events", KEY) as stream:
        with Sipp("demo", folder, remote=bridge.sip, number=NUMBER, keys=keys) as sipp:
            try:
                caller = Caller(port.stream(), agent, steps)
                caller.talk()
                sipp.check(HANDOFF_SECONDS)
                caller.listen_to_farewell()
            except (SippError, ProgramError, TimeoutError) as error:
                trouble = str(error)
        events = stream.until("call.ended", seconds=1 if trouble else 5)
    call_id = events[0].data["id"] if events else ""
    log = bridge.program.log.read_text() if trouble else bridge.program.logged('"event":"call_ended"')
    steps += [
        *of_sip(sipp.messages),
        *of_events(events),
        *timeline.of_log(log, call_id),
        *of_signals(cxone.signals(CONTACT)),
    ]
    return steps, trouble


def _print_state(project: Project, style: Style) -> None:
    """Print the screen-pop data, and how to fetch it."""
    url = f"{project.url}/handoff_state?shared_id={CONTACT}"
    print_line(f"\n{style.bold}Data for the human agent's screen-pop{style.plain}\n")
    print_line(f"  curl -s -H 'x-api-key: {KEY}' '{url}'\n")
    print_line(json.dumps(project.handoff_state(CONTACT).json(), indent=2, ensure_ascii=False))


def _print_page(cxone: Simulator, style: Style) -> bool:
    """Print the link of the screen-pop page as CXone got it; return True if it opens."""
    links = [signal["parameters"].get("p9", "") for signal in cxone.signals(CONTACT)]
    if not links:
        return False
    print_line(f"\n{style.bold}The page that opens for the human agent{style.plain}\n\n  {links[0]}")
    return fetch(links[0], headers={"Accept": "text/html"}).status == HTTPStatus.OK


if __name__ == "__main__":
    sys.exit(main())
