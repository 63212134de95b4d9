"""The configuration that `sipbridge init` writes, with the real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, running_bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp

CONTACT = "4711009001"


def test_a_bridge_with_the_first_configuration_hands_a_caller_off_to_the_simulator(
    tmp_path: Path, cxone: Simulator
) -> None:
    file, secrets = tmp_path / "bridge.yaml", tmp_path / "secrets"
    # Without an agent, the bridge hands the caller off at once.
    agent = f"ws://127.0.0.1:{free_port()}/media"
    addresses = ["--sip", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    command: list[str | Path] = [SIPBRIDGE, "init", file, "--issuer", cxone.url, "--agent", agent, *addresses]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S603 (our own)

    with running_bridge(file, tmp_path / "bridge.log", {}) as bridge:
        token = (secrets / "acme_voice_token").read_text().strip()
        keys = {"token": token, "contact_id": CONTACT, "main_contact_id": CONTACT}
        with Sipp("release", tmp_path, remote=bridge.sip, number="+19995550001", keys=keys) as caller:
            caller.check()
        project = bridge.project("acme", "voice", (secrets / "acme_voice_api_key").read_text().strip())
        assert project.ended_call(CONTACT)["handoff"]["state"] == "handoff_completed"
        bridge.wait_for_metric(1, "sipbridge_handoffs_total", client="acme", project="voice", method="release")

    (signal,) = cxone.signals(CONTACT)
    assert signal["parameters"]["p1"] == "care"
    assert signal["parameters"]["p2"] == "10000002"
    assert signal["parameters"]["p9"].startswith("http://127.0.0.1:")
