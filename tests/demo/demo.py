"""`make demo`: a caller talks to an agent, the agent hands off, and CXone takes the call; then the timeline of it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.demo import timeline
from tests.harness.media.rtp_peer import RtpLoop, RtpPort
from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, Bridge, Project, running_bridge
from tests.harness.programs.program import Program, ProgramError
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp, SippError
from tests.harness.web.event_stream import EventStream

from .caller import Caller
from .timeline import Step

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


@dataclass(frozen=True, slots=True)
class Style:
    """The escape sequences for bold and dim text; empty if the output is not a terminal."""

    bold: str = ""
    dim: str = ""
    plain: str = ""

    @classmethod
    def of_output(cls) -> Style:
        """Return the style for standard output."""
        return cls("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else cls()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every step was observed."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave bridge, agent and simulator running until Ctrl-C")
    options = parser.parse_args(arguments)
    style = Style.of_output()
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
            "SIPBRIDGE_LOG_LEVEL": "DEBUG",
        }
        bridge = stack.enter_context(running_bridge(CONFIG, folder / "bridge.log", environ))
        project = bridge.project("demo", "billing", KEY)
        _print(f"{style.bold}A caller, an agent, a handoff{style.plain}\n")
        _print(f"{style.dim}{bridge.ready_line}\n{agent_ready}\nsimulated CXone: {cxone.url}{style.plain}\n")
        with RtpLoop() as rtp, rtp.port() as port:
            steps, trouble = _call(folder, bridge, cxone, project, agent, port)
        _print_steps(steps, style)
        complete = _check(steps, trouble, style)
        _print_state(project, style)
        if options.keep:
            _print("\nBridge, agent and simulator run until Ctrl-C: the command above works in another terminal.")
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    if not options.keep:
        hint = "Bridge, agent and simulator have stopped. To keep them running, for the command above:"
        _print(f"\n{style.dim}{hint}\n  .venv/bin/python -m tests.demo.demo --keep{style.plain}")
    return 0 if complete else 1


def _agent(folder: Path) -> Program:
    return Program([SIPBRIDGE, "agent", "--listen", "127.0.0.1:0", *HANDOFF], folder / "agent.log")


def _call(
    folder: Path, bridge: Bridge, cxone: Simulator, project: Project, agent: Program, port: RtpPort
) -> tuple[list[Step], str]:
    """Place the call; return the steps in order, and what went wrong."""
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
    steps += [
        *timeline.of_sip(sipp.messages),
        *timeline.of_events(events),
        *timeline.of_log(bridge.program.log, call_id),
        *timeline.of_signals(cxone.signals(CONTACT)),
    ]
    return in_order(steps), trouble


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Sort the steps. Some times have whole milliseconds only: equal times keep the only possible order."""
    return sorted(steps, key=lambda step: (_millisecond(step), EXPECTED.index(step.name)))


def _millisecond(step: Step) -> datetime:
    return step.at.replace(microsecond=step.at.microsecond // 1000 * 1000)


def _print_steps(steps: Sequence[Step], style: Style) -> None:
    """Print the timeline, in seconds from the INVITE."""
    for step in steps:
        seconds = (_millisecond(step) - _millisecond(steps[0])).total_seconds()
        _print(f"  {seconds:7.3f}  {style.bold}{step.who:8}{style.plain}{step.text}")
        for name, value in step.details:
            _print(f"{'':21}{style.dim}{name}{style.plain}  {value}")


def _check(steps: Sequence[Step], trouble: str, style: Style) -> bool:
    """Print missing steps and errors; return True if there are none."""
    seen = {step.name for step in steps}
    missing = [name for name in EXPECTED if name not in seen]
    if trouble:
        _print(f"\n{style.bold}The demo failed:{style.plain}\n{trouble}")
    if missing:
        _print(f"\n{style.bold}Missing steps:{style.plain} {', '.join(missing)}")
    return not missing and not trouble


def _print_state(project: Project, style: Style) -> None:
    """Print the screen-pop data, and how to fetch it."""
    url = f"{project.url}/handoff_state?shared_id={CONTACT}"
    _print(f"\n{style.bold}Data for the human agent's screen-pop{style.plain}\n")
    _print(f"  curl -s -H 'x-api-key: {KEY}' '{url}'\n")
    _print(json.dumps(project.handoff_state(CONTACT).json(), indent=2, ensure_ascii=False))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
