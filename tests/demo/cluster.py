"""`make demo-cluster`: two nodes behind Kamailio; one is killed, and the other hands its callers off."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sipbridge.terminal import Style
from sipbridge.trial_call.timeline import CXONE, Step, time_of
from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, running_bridge
from tests.harness.programs.kamailio import NODE_ADDRESS, Kamailio, kamailio
from tests.harness.programs.program import Program, ProgramError
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import SippError
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for

from .cluster_callers import Caller, Node
from .demo import CONFIG
from .report import Report

LEASE_SECONDS = 3.0
CALLERS = 4
LATEST_ANSWER_SECONDS = 4.0  # of a new call that goes to the dead node first
TAKEOVER_SECONDS = 60
NODE_LOST = "node_lost"
PROXY, YOU = "Kamailio", "you"
EXPECTED = ("INVITE", "answered", "kill", "left out", "taken over", "signal", "handoff", "BYE", "ended")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every step was observed."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.cluster", description=__doc__)
    parser.parse_args(arguments)
    report = Report(EXPECTED, Style.of_output())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipbridge-demo-")))
        cluster = Cluster(folder, stack)
        report.heading(
            "Two nodes behind Kamailio, one of which dies",
            *(f"{node.name}: {node.bridge.ready_line}" for node in cluster.nodes),
            f"Kamailio: {cluster.proxy.address}, Redis: {cluster.redis.url}, simulated CXone: {cluster.cxone.url}",
        )
        trouble = ""
        try:
            cluster.play()
        except (SippError, ProgramError, TimeoutError, ValueError) as error:
            trouble = str(error)
        steps = report.in_order([*cluster.steps, *cluster.observed()])
        report.timeline(steps)
        complete = report.is_complete(steps, trouble)
    report.hint(
        f"Leases are of {LEASE_SECONDS:g} s here. By default they are of 15 s, and a takeover begins after 30 s."
    )
    return 0 if complete else 1


class Cluster:
    """All programs of the demo, and what happens to them: `steps`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.steps: list[Step] = []
        self.callers: list[Caller] = []
        self.cxone: Simulator = stack.enter_context(simulator(folder))
        self.redis: RedisServer = stack.enter_context(redis_server(folder))
        agent = stack.enter_context(Program([SIPBRIDGE, "agent", "--listen", "127.0.0.1:0"], folder / "agent.log"))
        self._agent_port = agent.line_with("ready").partition("ws://127.0.0.1:")[2].partition("/")[0]
        self.nodes = [self._node("node-1"), self._node("node-2")]
        uris = [node.uri for node in self.nodes]
        self.proxy: Kamailio = stack.enter_context(kamailio(folder / "kamailio", uris))
        wait_for(lambda: self.redis.run("HLEN", "sipbridge:nodes") == len(uris), "both nodes in Redis")
        self.proxy.wait_for_nodes(*uris)

    def play(self) -> None:
        """Call, kill, and call again. Raises `ValueError` if something is not as it should be."""
        dead, survivor = self.nodes
        self._call(CALLERS)
        lost = [caller for caller in self.callers if caller.node is dead]
        kept = [caller for caller in self.callers if caller.node is survivor]
        if not lost or not kept:
            raise ValueError("all calls went to one node")
        dead.bridge.program.kill()
        names = " and ".join(caller.name for caller in lost)
        self._note("kill", YOU, f"kill -9 {dead.name}, in the conversations of {names}")
        self._call(len(self.nodes))  # one of them goes to the dead node first
        self.proxy.wait_for_nodes(survivor.uri)
        self._note("left out", PROXY, f"{dead.name} gets no calls any more")
        for caller in lost:
            record = survivor.project.ended_call(caller.contact, TAKEOVER_SECONDS)
            if record["reason"] != NODE_LOST:
                raise ValueError(f"{caller.name} was not taken over: {record}")
            text = f"hands {caller.name} of {dead.name} off: {record['result']}, reason {record['reason']}"
            self.steps.append(Step(time_of(record["ended_at"]), "taken over", survivor.name, text))
        others = [caller for caller in self.callers if caller.node is survivor]
        for caller in others:
            self._hand_off(caller, survivor)
        for caller in others:
            self._follow_to_end(caller, survivor)
        self._check_signals()

    def observed(self) -> list[Step]:
        """Return the steps on the trunk and at CXone."""
        steps = [step for caller in self.callers for step in caller.steps()]
        signals = [signal for caller in self.callers for signal in self.cxone.signals(caller.contact)]
        return [*steps, *(Step(time_of(signal["at"]), "signal", CXONE, _text(signal)) for signal in signals)]

    def _call(self, count: int) -> None:
        """Place calls at once, and wait until each is answered."""
        placed = []
        for _ in range(count):
            number = len(self.callers) + 1
            caller = Caller(number, self._folder, self.proxy.address, self.nodes)
            self._stack.enter_context(caller.sipp)
            self.callers.append(caller)
            placed.append(caller)
        for caller in placed:
            if caller.wait_until_answered() > LATEST_ANSWER_SECONDS:
                raise ValueError(f"{caller.name} was answered after {LATEST_ANSWER_SECONDS:g} s")

    def _hand_off(self, caller: Caller, node: Node) -> None:
        """Request the handoff of a call over HTTP."""
        call_id = caller.call_id
        self._note("handoff", YOU, f"POST calls/{call_id}/handoff for {caller.name}")
        wish = {"destination": "care", "reason": "asked_for_human"}
        answer = node.project.request(f"calls/{call_id}/handoff", "POST", wish)
        if answer.status != 202:
            raise ValueError(f"the handoff of {caller.name} got {answer.status}")

    def _follow_to_end(self, caller: Caller, node: Node) -> None:
        """Wait for the BYE and the record of a call that is handed off."""
        caller.sipp.check()
        record = node.project.ended_call(caller.contact)
        self.steps.append(Step(time_of(record["ended_at"]), "ended", node.name, f"the call of {caller.name} has ended"))

    def _check_signals(self) -> None:
        for caller in self.callers:
            count = len(self.cxone.signals(caller.contact, wait_for=1))
            if count != 1:
                raise ValueError(f"contact {caller.contact} of {caller.name} got {count} Signals")

    def _note(self, name: str, who: str, text: str) -> None:
        self.steps.append(Step(datetime.now(UTC).astimezone(), name, who, text))

    def _node(self, name: str) -> Node:
        """Run a node: the bridge of `make demo`, on Redis."""
        folder = self._folder / name
        folder.mkdir()
        settings = yaml.safe_load(CONFIG.read_text())
        shared = on_redis(self.redis.url, name, lease_seconds=LEASE_SECONDS)
        settings |= shared | {"http": settings["http"] | shared["http"]}
        settings["store"]["journal"] = str(folder / "journal")
        settings["sip"]["listen"] = [f"udp://{NODE_ADDRESS}:0", f"tcp://{NODE_ADDRESS}:0"]
        file = folder / "bridge.yaml"
        file.write_text(yaml.safe_dump(settings))
        environ = {
            "DEMO_AGENT_PORT": self._agent_port,
            "DEMO_CXONE": self.cxone.url,
            "DEMO_FOLDER": str(folder),
            "DEMO_HTTP_PORT": str(free_port()),
        }
        return Node(name, self._stack.enter_context(running_bridge(file, folder / "bridge.log", environ)))


def _text(signal: dict[str, Any]) -> str:
    parameters = signal["parameters"]
    return f"Signal for contact {signal['contact_id']}: {parameters['p1']}, reason {parameters['p3']}"


if __name__ == "__main__":
    sys.exit(main())
