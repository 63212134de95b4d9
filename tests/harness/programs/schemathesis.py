"""Schemathesis, which sends an HTTP API all requests that its OpenAPI document allows, and many that it does not."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.peers import PEERS

from .bridge import Bridge

COMMAND = PEERS / "bin" / "schemathesis"
_END_SECONDS = 100.0

# Statuses that its checks accept besides its own, each because the document cannot be more precise: one of two
# parameters is required; destinations, routes, channels and the space left in a transcript belong to the project or the
# call; a list that is too long may also be too large; a chat that was ended, or a thread that has ended, is no longer
# there; and the credentials of a box are not in the document.
_SETTINGS = """
seed = {seed}
continue-on-failure = true
max-stream-events = 1
request-timeout = 20
warnings = false
[output.sanitization]
enabled = false
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
[parameters]
"path.account_id" = "{client}"
"path.project_id" = "{project}"
"path.call_id" = {{ dictionary = "calls", probability = 0.8 }}
"path.chat_id" = {{ dictionary = "chats", probability = 0.8 }}
"path.channel" = "{box}"
"query.channel" = {{ dictionary = "channels", probability = 0.8 }}
[dictionaries]
calls = {{ values = {calls} }}
chats = {{ values = {chats} }}
channels = {{ values = {channels} }}
[auth.openapi.project_key]
api_key = "{key}"
[auth.openapi.admin_key]
api_key = "{admin_key}"
[auth.openapi.box_token]
bearer = "{box_token}"
[[operations]]
include-operation-id = ["get_handoff_state", "delete_handoff_state"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]
[[operations]]
include-operation-id = ["hand_off", "add_turns"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
[[operations]]
include-operation-id = ["get_chat_availability", "start_chat", "add_message", "set_typing", "end_chat"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
[[operations]]
include-operation-id = ["issue_box_token"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "429"]
[[operations]]
include-operation-id = ["take_outbound", "take_post", "take_sender_action", "release_thread"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "404"]
[[operations]]
include-operation-id = ["stream_events", "stream_chat_events"]
request-timeout = 1
[[operations]]
include-operation-id = "drain"
enabled = false
"""


@dataclass(frozen=True)
class ApiTarget:
    """The project to test, its keys, its calls, chats and channels, and a box with its token. It is not drained."""

    client: str
    project: str
    key: str
    admin_key: str
    calls: Sequence[str]
    chats: Sequence[str]
    channels: Sequence[str]
    box: str
    box_token: str


@dataclass(frozen=True)
class SchemathesisResult:
    """The result: the number of generated requests, and Schemathesis's report if it found a fault."""

    cases: int
    faults: str


def run_schemathesis(
    bridge: Bridge, target: ApiTarget, folder: Path, *, examples: int, seconds: int | None, seed: int
) -> SchemathesisResult:
    """Test every operation with at least this many requests; with `seconds`, for this long. Every check is on."""
    settings = folder / "schemathesis.toml"
    lists = {name: json.dumps(list(getattr(target, name))) for name in ("calls", "chats", "channels")}
    settings.write_text(_SETTINGS.format(seed=seed, **target.__dict__ | lists))
    command: list[str | Path] = [
        COMMAND,
        "--config-file",
        settings,
        "run",
        f"{bridge.http}/openapi.json",
        "--url",
        bridge.http,
    ]
    command += ["--max-examples", str(examples), *(["--max-time", str(seconds)] if seconds else [])]
    done = subprocess.run(  # noqa: S603 (our own environment's)
        command, cwd=folder, capture_output=True, text=True, timeout=(seconds or 0) + _END_SECONDS, check=False
    )
    cases = re.search(r"(\d+) generated", done.stdout)
    # Long lines quote the request.
    lines = [line[:500] for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return SchemathesisResult(int(cases[1]) if cases else 0, "" if done.returncode == 0 else "\n".join(lines))
