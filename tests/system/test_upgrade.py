"""The configuration and the database of release 0.1.0, used by this one (docs/operations.md, "Upgrading")."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.programs.bridge import SIPBRIDGE, Bridge, running_bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).with_name("release_0_1_0")
NUMBER, TOKEN, KEY = "+19995550001", "demo-token", "demo-api-key"
HANDED_OFF, HUNG_UP, NEW = "115500123456", "115500123466", "115500123486"
COLUMNS = "call_id, client, project, shared_id, state, started_at, body"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a bridge of release 0.1.0 after its last stop."""
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.executescript((OLD / "calls.sql").read_text(encoding="utf-8"))
        # As if it had stopped a moment ago: older records are due for deletion.
        database.execute("UPDATE calls SET updated_at = ?", (time.time_ns() // 1000,))
    database.close()
    shutil.copy(OLD / "bridge.yaml", tmp_path)
    shutil.copytree(ROOT / "config" / "prompts", tmp_path / "prompts")
    return tmp_path


def environment(folder: Path, cxone: Simulator) -> dict[str, str]:
    """The variables that the configuration names."""
    return {"DEMO_CXONE": cxone.url, "DEMO_FOLDER": str(folder), "DEMO_HTTP_PORT": str(free_port())}


def test_the_bridge_finds_the_records_of_the_earlier_release_and_adds_its_own(folder: Path, cxone: Simulator) -> None:
    before = rows(folder)
    with running_bridge(folder / "bridge.yaml", folder / "bridge.log", environment(folder, cxone)) as bridge:
        project = bridge.project("demo", "billing", KEY)
        (handed_off,), (hung_up,) = project.calls(HANDED_OFF), project.calls(HUNG_UP)
        full = project.call(handed_off["id"])
        assert full is not None
        assert (full["result"], full["reason"], full["ended_by"]) == ("success", "handed_off", "bridge")
        assert full["transcript"][0]["text"] == "My bill is too high."
        assert (hung_up["result"], hung_up["reason"]) == ("success", "caller_hung_up")

        # What a screen-pop asks for that was opened before the upgrade.
        data = project.handoff_state("case-4711").json()["data"]
        assert (data["handoff_state"], data["handoff_reason"]) == ("handoff_completed", "billing_question")
        assert json.loads(data["invoice"])["amount"] == 12345678901234567890123

        place_call(bridge, folder)
        assert project.ended_call(NEW)["reason"] == "caller_hung_up"
        bridge.wait_for_metric(1, "sipbridge_calls_total", project="billing", reason="caller_hung_up")
    after = rows(folder)
    assert len(after) == len(before) + 1
    assert set(before) <= set(after)


@pytest.mark.parametrize("name", ["bridge.yaml", "example.yaml"])
def test_a_configuration_of_the_earlier_release_is_valid_as_it_is(name: str, folder: Path, cxone: Simulator) -> None:
    shutil.copy(OLD / name, folder)
    (folder / "access_key_secret").write_text("an-access-key-secret")
    example = {
        "SIPBRIDGE_POP_LINK_SECRET": "a-long-secret-that-signs-the-links-of-pops",
        "ACME_SECRETS_DIRECTORY": str(folder),
        **{f"ACME_{each}": f"of-acme-{each}" for each in ("CLIENT_ID", "CLIENT_SECRET", "ACCESS_KEY_ID")},
        **{f"ACME_BILLING_{each}": f"of-acme-billing-{each}" for each in ("TOKEN", "API_KEY")},
    }
    command: list[str | Path] = [SIPBRIDGE, "check", folder / name]
    environ = os.environ | environment(folder, cxone) | example
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{folder / name}: valid\n")


def place_call(bridge: Bridge, folder: Path) -> None:
    """Place a call whose caller hangs up."""
    keys = {"token": TOKEN, "contact_id": NEW, "main_contact_id": NEW}
    with Sipp("caller_hangs_up", folder, remote=bridge.sip, number=NUMBER, keys=keys) as caller:
        caller.check()


def rows(folder: Path) -> list[tuple[object, ...]]:
    """Return the rows of the records."""
    database = sqlite3.connect(folder / "calls.db")
    try:
        return database.execute(f"SELECT {COLUMNS} FROM calls ORDER BY started_at").fetchall()  # noqa: S608 (constants)
    finally:
        database.close()
