"""`make reloads`: reload the configuration again and again during calls, and compare the resources in use.

Each reload brings other clients, other projects and other recordings under the same paths, and calls them. It exits
with 1 if the bridge holds more at the end than after half of the reloads: until then memory grows to the peak of the
calls and of the configuration versions that wait for the collector.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, bridge_settings, client_settings, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.web.http import fetch

from .footprint import Footprint

NUMBER = "+19995550001"
ADMIN = {"x-api-key": "key-of-the-operator"}
CALLS_PER_SECOND = 5
# Prompts played, tokens requested, calls handed off: half a minute of rest releases their resources.
REST_SECONDS = 40.0
GROWTH_MB = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Reload this many times; exit with 1 if anything has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.reloads", description=__doc__)
    parser.add_argument("--reloads", type=int, default=1000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sipbridge-reloads-") as name:
        return run(Path(name), options.reloads)


def run(folder: Path, reloads: int) -> int:
    """Reload, and compare."""
    with simulator(folder) as cxone:
        settings = _settings(folder, cxone, 0)
        with bridge(settings, folder) as running, _callers(running, folder):
            warm = None
            for number in range(1, reloads + 1):
                _reload(running, folder, _settings(folder, cxone, number))
                _call(running, number)
                if number % max(1, reloads // 8) == 0:
                    sys.stdout.write(f"{number} reloads: {Footprint.of(running, cxone.url)}\n")
                    sys.stdout.flush()
                if number == reloads // 2:
                    warm = _measure_at_rest(running, cxone)
                    sys.stdout.write(f"after a rest: {warm}\n")
            end = _measure_at_rest(running, cxone)
            sys.stdout.write(f"after a rest: {end}\n")
            series = [line for line in running.metrics_page().splitlines() if 'client="other-' in line]
    grown = warm is not None and (end.rss_mb > warm.rss_mb + GROWTH_MB or not _is_within(end, warm))
    many = [line for line in series if f'client="other-{reloads}' not in line]
    sys.stdout.write(f"metric series of removed clients: {len(many)}\n")
    sys.stdout.write("it has GROWN\n" if grown or many else "nothing has grown\n")
    return 1 if grown or many else 0


def _is_within(end: Footprint, warm: Footprint) -> bool:
    # The number of calls in progress varies.
    return end.files <= warm.files and end.threads <= warm.threads + 2 and end.pools <= warm.pools + 200


def _measure_at_rest(running: Bridge, cxone: Simulator) -> Footprint:
    """Measure when short-lived resources have been released."""
    time.sleep(REST_SECONDS)
    return Footprint.of(running, cxone.url)


def _reload(running: Bridge, folder: Path, settings: Settings) -> None:
    (folder / "bridge.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    answer = fetch(f"{running.admin}/v1/admin/reload", "POST", headers=ADMIN, timeout_seconds=60)
    if answer.status != 200:
        raise AssertionError(f"not reloaded: {answer.body!r}")


def _call(running: Bridge, number: int) -> None:
    """Call each project of the latest clients."""
    for project in ("prompt", "websocket", "sip"):
        name = f"{project}-{number}"
        lines = (
            f"From: <sip:caller@127.0.0.1>;tag=1\r\nX-Auth-Token: {token(name)}\r\nX-InContact-ContactId: {number}\r\n"
        )
        with RawCall(running.sip, _number(number).encode(), lines.encode()) as call:
            if call.place().status != 200:
                raise AssertionError(f"{name} got response {call.status}")
            call.end()


def _callers(running: Bridge, folder: Path) -> Sipp:
    keys = {"token": token("release"), "contact_id": "all-the-time"}
    options = ["-m", "1000000", "-r", str(CALLS_PER_SECOND), "-l", "100"]
    return Sipp("release_many", folder, remote=running.sip, number=NUMBER, keys=keys, options=options)


def _number(number: int) -> str:
    return f"+1888{number:07}"


def _settings(folder: Path, cxone: Simulator, number: int) -> Settings:
    """One client that stays, with a prompt that changes; and one that no other reload has."""
    clip = folder / "clip.wav"
    write_silence(clip, 1 + number % 3)
    agent = {"type": "prompt", "audio": str(clip)}
    nowhere = {
        "prompt": agent,
        "websocket": {"type": "websocket", "url": f"wss://127.0.0.1:1/{number}"},
        "sip": {"type": "sip", "uri": [f"sip:agent-{number}@127.0.0.1:9"], "answer_timeout_seconds": 1},
    }
    others = {
        f"{kind}-{number}": project_settings(
            f"{kind}-{number}", agent=each, on_agent_failure="handoff", tts_command=["cat", str(clip)]
        )
        for kind, each in nowhere.items()
    }
    mine = project_settings("release", agent={"type": "prompt", "audio": str(clip)})
    clients = {
        "acme": client_settings(NUMBER, cxone.url, {"release": mine}),
        f"other-{number}": client_settings(_number(number), cxone.url, others),
    }
    settings = bridge_settings(folder, clients)
    settings["http"]["admin"] = {"keys": [ADMIN["x-api-key"]]}
    return settings


if __name__ == "__main__":
    sys.exit(main())
