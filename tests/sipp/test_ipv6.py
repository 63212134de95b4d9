"""HTTP listens on IPv6; SIP does not, and the program does not start."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from harness.bridge import SIPBRIDGE, bridge
from harness.http import fetch
from harness.ipv6 import needs_ipv6
from harness.settings import bridge_settings, client_settings, project_settings
from harness.simulator import Simulator


@needs_ipv6
def test_both_listeners_of_http_may_be_on_ipv6(tmp_path: Path, cxone: Simulator) -> None:
    acme = client_settings("+19995550001", cxone.url, {"billing": project_settings("billing")})
    http = {"listen": "[::1]:0", "admin": {"keys": ["key-of-admin"], "listen": "[::1]:0"}}
    with bridge(bridge_settings(tmp_path, {"acme": acme}) | {"http": http}, tmp_path) as running:
        assert "http http://[::1]:" in running.ready_line
        assert "admin http://[::1]:" in running.ready_line
        assert fetch(f"{running.http}/readyz").status == 200
        assert fetch(f"{running.admin}/v1/admin/status", headers={"x-api-key": "key-of-admin"}).status == 200


@pytest.mark.parametrize("command", [("check",), ("run", "--config")])
def test_check_and_run_refuse_sip_on_ipv6_alike(tmp_path: Path, command: tuple[str, ...]) -> None:
    acme = client_settings("+19995550001", "http://127.0.0.1:1", {"billing": project_settings("billing")})
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(bridge_settings(tmp_path, {"acme": acme}, sip={"listen": ["udp://[::1]:0"]})))
    done = subprocess.run([SIPBRIDGE, *command, file], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 (our own program)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{file}:")
    assert line.endswith(
        "sip.listen[0]: has an IPv6 address; SIP and RTP use IPv4 only in this release, so write an IPv4 address"
    )
