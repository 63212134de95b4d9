from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.harness.media.audio import write_silence
from tests.harness.peers import need
from tests.harness.programs import schemathesis
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.schemathesis import ApiTarget, run_schemathesis
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import (
    Settings,
    bridge_settings,
    chat_project_settings,
    client_settings,
    key,
    project_settings,
    token,
)
from tests.harness.web.http import fetch

logger = logging.getLogger(__name__)

NUMBER = "+19995550091"
ADMIN_KEY = "key-of-whoever-runs-the-bridge"
LIVE, ENDED, CHATS = 60, 5, 40
BOX_ID, BOX_SECRET = "id-of-the-box", "secret-of-the-box-0001"
EXAMPLES = 10
# For longer than one pass over all operations: SCHEMATHESIS_SECONDS=600.
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "0")) or None
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "1"))


@pytest.mark.timeout((SECONDS or 0) + 240)
def test_the_api_conforms_to_its_openapi_document_under_any_request(tmp_path: Path, cxone: Simulator) -> None:
    need("Schemathesis", installed=schemathesis.COMMAND.exists())
    clip = tmp_path / "clip.wav"
    write_silence(clip, (SECONDS or 0) + 200)
    project = project_settings("fuzzed", agent={"type": "prompt", "audio": str(clip)}, chat=chat_settings(cxone))
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
            chats = start_chats(api)
            box_token = token_of_box(running)
            target = ApiTarget(
                "fuzzed", "fuzzed", key("fuzzed"), ADMIN_KEY, calls, chats, ["web", "sms"], "sms", box_token
            )
            result = run_schemathesis(running, target, tmp_path, examples=EXAMPLES, seconds=SECONDS, seed=SEED)
        # The remaining calls need not end in order: their caller has ended.
        running.program.kill()
        logger.info("%d requests generated", result.cases)
        assert not result.faults, result.faults
        assert result.cases > 1000
    assert '"level":"ERROR"' not in running.program.log.read_text()


def chat_settings(cxone: Simulator) -> Settings:
    """A chat section with a channel of the gateway, whose chats wait in the queue, and one with a box."""
    messaging = {"web": "chat_11111111-1111-4111-8111-111111111111"}
    chat: Settings = chat_project_settings("fuzzed", cxone.url, messaging, queue_timeout_seconds=None)["chat"]
    box = {"client_id": BOX_ID, "client_secret": BOX_SECRET}
    chat["channels"]["sms"] = {
        "type": "byoc",
        "channel_id": "byoc_44444444-4444-4444-8444-444444444444",
        "box": box,
        "api_url": f"{cxone.url}/dfo/3.0",
    }
    return chat


def start_chats(api: Project) -> list[str]:
    """Start chats on both channels, end some of them, and return the ids of all."""
    chats = [f"chat-{number}" for number in range(CHATS)]
    for number, chat_id in enumerate(chats):
        body = {"id": chat_id, "channel": "sms" if number % 2 else "web", "utterance": "Hi", "data": {"n": number}}
        assert api.request("chats", "POST", body).status == 202
    for chat_id in chats[:ENDED]:
        assert api.request(f"chats/{chat_id}/end", "POST", {}).status == 202
    return chats


def token_of_box(running: Bridge) -> str:
    """Get a token of the box and use it once, so that the guesses of Schemathesis do not block it."""
    box = f"{running.http}/byoc/fuzzed/fuzzed/sms"
    grant = {"grant_type": "client_credentials", "client_id": BOX_ID, "client_secret": BOX_SECRET}
    box_token: str = fetch(f"{box}/1.0/token", "POST", body=grant).json()["access_token"]
    headers = {"Authorization": f"Bearer {box_token}"}
    assert fetch(f"{box}/1.0/posts/p/messages", "POST", headers=headers, body={}).status == 404
    return box_token


def call(running: Bridge, folder: Path, count: int, *, hold_seconds: float) -> Sipp:
    keys = {"token": token("fuzzed"), "contact_id": "115700000001", "main_contact_id": "115700000000"}
    options = [*call_options(count, hold_seconds=hold_seconds), "-r", "20"]
    return Sipp("caller_hangs_up", folder, remote=running.sip, number=NUMBER, keys=keys, options=options)
