"""Debian's Kamailio with the project's configuration, on free ports of 127.0.0.1."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.harness.certificates import Authority, Pair
from tests.harness.ports import free_port
from tests.harness.waiting import wait_for

from .program import Program, ProgramError

DEPLOYED = Path(__file__).resolve().parents[3] / "config" / "deploy" / "kamailio"
ADDRESS = "127.0.0.1"
# The nodes have another address than the trunk, as in production: the proxy distinguishes them by it.
NODE_ADDRESS = "127.0.0.2"
TRUNK, NODES, PEERS = 1, 2, 3  # the groups of sources.list
PROBE_SECONDS = 1
_ATTEMPTS = 5
# Debian has it where a user's PATH does not lead.
_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"


class Kamailio:
    """A proxy in front of nodes, by their SIP URIs. `defines` are settings of its site.cfg."""

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[str],
        *,
        sources: Mapping[int, Sequence[str]],
        tls: Pair | None,
        authority: Authority | None,
        defines: Mapping[str, str],
        port: int | None,
    ) -> None:
        self._folder = folder
        self._port = port
        self._sources = sources
        self._tls = tls
        self._authority = authority
        self._defines = defines
        self.set_nodes(nodes)
        # Not in the folder of the test: the path of a Unix socket is short.
        self._run = tempfile.TemporaryDirectory(prefix="kamailio-")
        for _ in range(_ATTEMPTS):
            self._start()
            wait_for(lambda: self._responds() or not self.program.is_running, "Kamailio")
            if self.program.is_running:
                return
        raise self.program.error("found no free ports")

    def set_nodes(self, nodes: Sequence[str]) -> None:
        """Write the list of nodes; `run("dispatcher.reload")` makes a running proxy read it."""
        (self._folder / "nodes.list").write_text("".join(f"1 {node}\n" for node in nodes))

    def run(self, *command: str) -> str:
        """Run a command of kamcmd and return its output. Raises `ProgramError`."""
        done = self._kamcmd(command)
        if done.returncode:
            raise self.program.error(f"kamcmd {command}: {done.stdout}{done.stderr}")
        return done.stdout

    def active_nodes(self) -> list[str]:
        """Return the URIs of the nodes that get calls."""
        uri, active = "", []
        for line in self.run("dispatcher.list").splitlines():
            name, _, value = line.strip().partition(": ")
            if name == "URI":
                uri = value
            elif name == "FLAGS" and value.startswith("A"):
                active.append(uri)
        return active

    def wait_for_nodes(self, *nodes: str, seconds: float = 15) -> None:
        """Return once exactly these nodes get calls. Raises `TimeoutError`."""
        wait_for(lambda: sorted(self.active_nodes()) == sorted(nodes), f"only {nodes} to be active", seconds)

    def stop(self) -> None:
        """End it, with its processes."""
        self.program.stop()
        self._run.cleanup()

    def _start(self) -> None:
        port, tls_port = self._port or free_port(), free_port()
        self.address, self.tls_address = f"{ADDRESS}:{port}", f"{ADDRESS}:{tls_port}"
        listen = [f"udp:{self.address}", f"tcp:{self.address}"]
        defines = {"PROBE_SECONDS": str(PROBE_SECONDS)} | dict(self._defines)
        if self._tls:
            listen.append(f"tls:{self.tls_address}")
            defines["WITH_TLS"] = ""
        write_site(self._folder, listen, defines)
        self._write_sources()
        if self._tls and self._authority:
            self._write_tls(self._tls, self._authority)
        # One process for UDP (-n): several may swap messages that are sent within a millisecond, and SIPp refuses that.
        options = ["-DD", "-E", "-n", "1", "-m", "64"]
        command = [executable("kamailio"), "-f", str(self._folder / "kamailio.cfg"), *options]
        run = self._run.name
        self.program = Program([*command, "-Y", run, "-P", f"{run}/pid"], self._folder / "kamailio.log")

    def _write_sources(self) -> None:
        lines = [f"{group} {address}\n" for group, addresses in self._sources.items() for address in addresses]
        (self._folder / "sources.list").write_text("".join(lines))

    def _write_tls(self, pair: Pair, authority: Authority) -> None:
        text = (self._folder / "tls.cfg").read_text()
        for name, value in {
            "certificate": pair.certificate,
            "private_key": pair.key,
            "ca_list": authority.file,
        }.items():
            lines = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in text.splitlines()]
            text = "\n".join([*lines, ""])
        (self._folder / "tls.cfg").write_text(text)

    def _responds(self) -> bool:
        return self._kamcmd(["core.uptime"]).returncode == 0

    def _kamcmd(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        socket = f"unix:{self._run.name}/kamailio_ctl"
        return subprocess.run(  # noqa: S603 (the commands are our own)
            [executable("kamcmd"), "-s", socket, *command], capture_output=True, text=True, check=False
        )


def write_site(folder: Path, listen: Sequence[str], defines: Mapping[str, str]) -> None:
    """Copy the configuration into a folder, with a site.cfg for these addresses and definitions."""
    for name in ("kamailio.cfg", "tls.cfg"):
        shutil.copy(DEPLOYED / name, folder)
    lines = [f'#!substdef "!CONFIG_DIR!{folder}!g"']
    lines += [f"#!define {name} {value}".rstrip() for name, value in defines.items()]
    lines += [f"listen={address}" for address in listen]
    (folder / "site.cfg").write_text("\n".join([*lines, ""]))


def executable(name: str) -> str:
    """Return the path of a program of Kamailio. Raises `ProgramError`."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise ProgramError(f"{name} is not installed; Debian's package kamailio has it")
    return found


@contextmanager
def kamailio(
    folder: Path,
    nodes: Sequence[str],
    *,
    sources: Mapping[int, Sequence[str]] | None = None,
    tls: Pair | None = None,
    authority: Authority | None = None,
    defines: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Kamailio]:
    """Run a proxy, on a free port if `port` gives none; by default 127.0.0.1 is the trunk.

    `defines` are those of site.cfg, like `CALLS_PER_SECOND`.
    """
    folder.mkdir(exist_ok=True)
    proxy = Kamailio(
        folder,
        nodes,
        sources=sources or {TRUNK: [ADDRESS], NODES: [NODE_ADDRESS]},
        tls=tls,
        authority=authority,
        defines=defines or {},
        port=port,
    )
    try:
        yield proxy
    finally:
        proxy.stop()
