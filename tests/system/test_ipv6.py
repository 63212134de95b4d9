"""HTTP listens on IPv6. SIP over IPv6 is the subject of test_preflight."""

from __future__ import annotations

from pathlib import Path

from tests.harness.ipv6 import needs_ipv6
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, project_settings
from tests.harness.web.http import fetch


@needs_ipv6
def test_both_http_listeners_may_be_on_ipv6(tmp_path: Path, cxone: Simulator) -> None:
    acme = client_settings("+19995550001", cxone.url, {"billing": project_settings("billing")})
    http = {"listen": "[::1]:0", "admin": {"keys": ["key-of-admin"], "listen": "[::1]:0"}}
    with bridge(bridge_settings(tmp_path, {"acme": acme}) | {"http": http}, tmp_path) as running:
        assert "http http://[::1]:" in running.ready_line
        assert "admin http://[::1]:" in running.ready_line
        assert fetch(f"{running.http}/readyz").status == 200
        assert fetch(f"{running.admin}/v1/admin/status", headers={"x-api-key": "key-of-admin"}).status == 200
