"""Test an installed bridge: in a container, or as a unit of systemd (`.ci/image`, `.ci/service`).

    python -m tests.harness.programs.installed FOLDER [--restarts] -- COMMAND ...

Writes FOLDER/bridge.yaml and its secrets as files, and runs the command, which starts the bridge with that folder as
/etc/sipbridge and with this machine's network. Then it places calls: one that is handed off; with `--restarts` one
during which the bridge is killed and one during which it is frozen, whose contacts the next start must signal, and a
reload in between; and one that is in progress when the command gets SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from tests.harness.media.audio import write_silence
from tests.harness.ports import free_port
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch
from tests.harness.web.metrics import Metrics

from .bridge import Project
from .program import Program
from .simulator import Simulator, simulator
from .sipp import Sipp

NUMBER = "+19995550001"
START_SECONDS, STOP_SECONDS = 60.0, 90.0
DRAIN_SECONDS = 1
CLIP_SECONDS = 30
CONFIG = "/etc/sipbridge/bridge.yaml"
_STATUS_FIELDS = ("Uid", "CapEff", "NoNewPrivs", "Seccomp")


class Installed:
    """The bridge that a command runs."""

    def __init__(self, folder: Path, cxone: Simulator, command: list[str]) -> None:
        self._folder = folder
        self._cxone = cxone
        self._sip, self._http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._write_settings()
        self._program = Program(command, folder.with_name("command.log"))
        self._api = {name: Project(f"http://{self._http}/v1/acme/{name}", key(name)) for name in ("release", "waiting")}

    def _write_settings(self) -> None:
        projects = {
            "release": project_settings("release"),
            "waiting": project_settings("waiting", agent={"type": "prompt", "audio": "silence.wav"}),
        }
        client = client_settings(NUMBER, self._cxone.url, projects)
        for name in ("client_secret", "access_key_secret"):
            client["cxone"][name] = self._secret(name, client["cxone"][name])
        for name, project in projects.items():
            project["auth_token"] = self._secret(f"{name}_token", token(name))
        settings: Settings = bridge_settings(Path("/var/lib/sipbridge"), {"acme": client})
        settings["sip"]["listen"] = [f"udp://{self._sip}"]
        settings["http"]["listen"] = self._http
        settings["drain_seconds"] = DRAIN_SECONDS
        write_silence(self._folder / "silence.wav", CLIP_SECONDS)
        (self._folder / "bridge.yaml").write_text(yaml.safe_dump(settings))

    def _secret(self, name: str, text: str) -> str:
        file = self._folder / "secrets" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{text}\n")
        return f"file:secrets/{name}"

    def await_ready(self) -> None:
        """Return once it accepts calls. Raises `TimeoutError`, or `ProgramError` if the command ended."""

        def ready() -> bool:
            if not self._program.is_running:
                raise self._program.error("ended")
            try:
                return fetch(f"http://{self._http}/readyz").status == 200
            except OSError:
                return False

        wait_for(ready, f"a bridge at {self._http}", START_SECONDS)

    def call(self, project: str, contact_id: str) -> Sipp:
        """Place a call that ends when the bridge ends it."""
        keys = {"token": token(project), "contact_id": contact_id, "main_contact_id": contact_id}
        return Sipp("release", self._folder.parent, remote=self._sip, number=NUMBER, keys=keys)

    def hand_off(self) -> None:
        """Place a call that is handed off."""
        with self.call("release", "1001") as caller:
            caller.check()
        record = self._api["release"].ended_call("1001")
        _print(f"a call was handed off: {record['handoff']['state']}, Signal {record['handoff']['signal']}")
        self._expect_signal("1001", "care")

    def lose_during_call(self, signal_sent: signal.Signals, contact_id: str) -> None:
        """Kill or freeze the process during a call."""
        with self.call("waiting", contact_id):
            self._api["waiting"].live_call(contact_id)
            before = self.process()
            os.kill(before, signal_sent)
            wait_for(lambda: self.process(default=before) != before, "another process", START_SECONDS)
            self.await_ready()
            self._expect_signal(contact_id, "bridge_restarted")
        _print(f"started again after {signal_sent.name}; the contact of the call in progress was signalled")

    def reload(self) -> None:
        """Reload it through systemd, the parent of the process."""
        stat = Path(f"/proc/{self.process()}/stat").read_text()
        parent = stat.rpartition(")")[2].split()[1]  # proc(5): state, then ppid
        command = ["nsenter", "--target", parent, "--mount", "--pid", "systemctl", "reload", "sipbridge"]
        subprocess.run(command, check=True)  # noqa: S603 (our own)

        def read() -> bool:
            metrics = Metrics(fetch(f"http://{self._http}/metrics").body.decode())
            return metrics.value("sipbridge_config_reloads_total", result="success") == 1

        wait_for(read, "the reload")
        _print("reloaded")

    def stop(self) -> None:
        """Stop the command during a call, which is handed off."""
        with self.call("waiting", "1004") as caller:
            self._api["waiting"].live_call("1004")
            self._program.terminate()
            caller.check()
            self._expect_signal("1004", "draining")
            code = self._program.wait(STOP_SECONDS)
        _print(f"stopped, and the call in progress was handed off; the command's exit code is {code}")

    def process(self, default: int | None = None) -> int:
        """Return the bridge's process id on this machine, or the default. Raises `LookupError` without either."""
        for pid in _processes():
            with suppress(OSError):  # it has ended
                if CONFIG in Path(f"/proc/{pid}/cmdline").read_text() and self._listens_here(pid):
                    return pid
        if default is None:
            raise LookupError(f"no process listens at {self._http}")
        return default

    def _listens_here(self, pid: int) -> bool:
        """Return True if a process that uses /etc/sipbridge is ours: others may run on this machine."""
        sockets = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it has been closed
                sockets.add(str(entry.readlink()))
        wanted = f":{int(self._http.rpartition(':')[2]):04X} 00000000:0000 0A "
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
        return any(wanted in line and f"socket:[{line.split()[9]}]" in sockets for line in lines)

    def print_privileges(self) -> None:
        """Print the limits and privileges of the process."""
        folder = Path(f"/proc/{self.process()}")
        status = re.findall(rf"^((?:{'|'.join(_STATUS_FIELDS)}):.*)$", (folder / "status").read_text(), re.MULTILINE)
        limits = re.findall(
            r"^(Max (?:open files|core file size|realtime priority).*)$", (folder / "limits").read_text(), re.MULTILINE
        )
        root = re.search(r"^\S+ \S+ \S+ \S+ / (\S+)", (folder / "mountinfo").read_text(), re.MULTILINE)
        for line in [*status, *limits, f"root: {root[1] if root else 'unknown'}"]:
            _print("  " + " ".join(line.split()))

    def _expect_signal(self, contact_id: str, reason: str) -> None:
        (one,) = self._cxone.signals(contact_id, wait_for=1)
        if one["parameters"].get("p3", "") != reason:
            raise AssertionError(f"the Signal of contact {contact_id} says {one['parameters']}")

    def end(self) -> None:
        """End the command, if it still runs."""
        if self._program.is_running:
            self._program.terminate()
            self._program.wait(STOP_SECONDS)


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Test an installed bridge.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--restarts", action="store_true", help="a service manager restarts it")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with simulator(options.folder.parent) as cxone:
        bridge = Installed(options.folder, cxone, options.command)
        try:
            bridge.await_ready()
            bridge.print_privileges()
            bridge.hand_off()
            if options.restarts:
                bridge.reload()
                bridge.lose_during_call(signal.SIGKILL, "1002")
                bridge.lose_during_call(signal.SIGSTOP, "1003")
            bridge.stop()
        finally:
            bridge.end()


if __name__ == "__main__":
    main()
