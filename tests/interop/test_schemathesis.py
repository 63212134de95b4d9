from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.harness.media.audio import write_silence
from tests.harness.programs import schemathesis
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.schemathesis import ApiTarget, run_schemathesis
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token

from .conftest import need

logger = logging.getLogger(__name__)

NUMBER = "+19995550091"
ADMIN_KEY = "key-of-whoever-runs-the-bridge"
LIVE, ENDED = 60, 5
EXAMPLES = 10
# For longer than one pass over all operations: SCHEMATHESIS_SECONDS=600.
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "0")) or None
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "1"))


@pytest.mark.timeout((SECONDS or 0) + 240)
def test_the_api_conforms_to_its_openapi_document_under_any_request(tmp_path: Path, cxone: Simulator) -> None:
    need("Schemathesis", installed=schemathesis.COMMAND.exists())
    clip = tmp_path / "clip.wav"
    write_silence(clip, (SECONDS or 0) + 200)
    project = project_settings("fuzzed", agent={"type": "prompt", "audio": str(clip)})
    settings = bridge_settings(tmp_path, {"fuzzed": client_settings(NUMBER, cxone.url, {"fuzzed": project})})
    settings["http"]["admin"] = {"keys": [ADMIN_KEY]}
    with bridge(settings, tmp_path) as running:
        call(running, tmp_path, ENDED, hold_seconds=0.2).check()
        with call(running, tmp_path, LIVE, hold_seconds=(SECONDS or 0) + 180):
            # A busy machine may reject some.
            running.wait_for_metric(LIVE + ENDED, "sipbridge_invites_total", seconds=30)
            api = running.project("fuzzed", "fuzzed", key("fuzzed"))
            calls = [call["id"] for call in api.request("calls?limit=200").json()["calls"]]
            assert len(calls) > LIVE // 2
            target = ApiTarget("fuzzed", "fuzzed", key("fuzzed"), ADMIN_KEY, calls)
            result = run_schemathesis(running, target, tmp_path, examples=EXAMPLES, seconds=SECONDS, seed=SEED)
        # The remaining calls need not end in order: their caller has ended.
        running.program.kill()
        logger.info("%d requests generated", result.cases)
        assert not result.faults, result.faults
        assert result.cases > 500
    assert '"level":"ERROR"' not in running.program.log.read_text()


def call(running: Bridge, folder: Path, count: int, *, hold_seconds: float) -> Sipp:
    keys = {"token": token("fuzzed"), "contact_id": "115700000001", "main_contact_id": "115700000000"}
    options = [*call_options(count, hold_seconds=hold_seconds), "-r", "20"]
    return Sipp("caller_hangs_up", folder, remote=running.sip, number=NUMBER, keys=keys, options=options)
