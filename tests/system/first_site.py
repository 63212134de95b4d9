"""A bridge with the configuration that `sipbridge init` writes, and the small agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, Bridge, Project, running_bridge
from tests.harness.programs.program import Program
from tests.harness.programs.simulator import Simulator


@dataclass(frozen=True)
class FirstSite:
    """A running bridge, and the file that `init` wrote."""

    file: Path
    bridge: Bridge
    project: Project

    def command(self, name: str, *options: str) -> list[str | Path]:
        """The command line of a command for the file."""
        return [SIPBRIDGE, name, self.file, *options]

    def run(
        self, name: str, *options: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command for the file to its end."""
        return subprocess.run(  # noqa: S603 (our own)
            self.command(name, *options),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=os.environ | dict(environ or {}),
        )


@contextmanager
def first_site(folder: Path, cxone: Simulator) -> Iterator[FirstSite]:
    """Run the small agent and the bridge; their logs are in the folder."""
    with Program([SIPBRIDGE, "agent", "--listen", "127.0.0.1:0"], folder / "agent.log") as agent:
        url = agent.line_with("ready").partition("ready: ")[2].partition(",")[0]
        file = folder / "bridge.yaml"
        addresses = ["--sip", f"127.0.0.1:{free_port()}", "--http", f"127.0.0.1:{free_port()}"]
        init: list[str | Path] = [SIPBRIDGE, "init", file, "--issuer", cxone.url, "--agent", url, *addresses]
        subprocess.run(init, check=True, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S603 (our own)
        with running_bridge(file, folder / "bridge.log", {}) as bridge:
            key = (folder / "secrets" / "acme_voice_api_key").read_text().strip()
            yield FirstSite(file, bridge, bridge.project("acme", "voice", key))
