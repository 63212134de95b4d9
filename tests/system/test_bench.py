from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import chats_calls, media
from tests.bench import handoffs as bench
from tests.bench.chats_report import Cost, Rate
from tests.bench.media_load import media_load
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings


def test_the_benchmark_measures_both_handoffs_and_writes_all_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench.json"
    options = ["--rates", "10", "--seconds", "1", "--held", "5", "--held-seconds", "3", "--output", str(file)]
    assert bench.main(options) == 0
    figures = json.loads(file.read_text())
    (handoffs,) = figures["handoffs"]
    assert (handoffs["load"]["calls"], handoffs["load"]["failed"], handoffs["failed_by_metrics"]) == (10, 0, 0)
    assert handoffs["load"]["cpu_ms_per_call"] > 0
    assert handoffs["load"]["refer"]["p99"] >= handoffs["load"]["refer"]["p50"] >= 0
    assert figures["baseline"][0]["failed"] == 0
    assert (figures["held"]["calls"], figures["held"]["failed"]) == (5, 0)
    assert "SIPp alone" in capsys.readouterr().out


@pytest.mark.parametrize("kind", media.KINDS)
def test_the_audio_benchmark_measures_both_directions_and_writes_all_figures(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench-media.json"
    options = ["--calls", "4", "--seconds", "2", "--kinds", kind, "--output", str(file)]
    assert media.main(options) == 0
    (level,) = json.loads(file.read_text())["levels"]
    assert (level["kind"], level["calls"], level["failed"]) == (kind, 4, 0)
    for way in (level["to_agent"], level["to_caller"]):
        assert 4 * 95 < way["sent"] < 4 * 120
        assert way["lost"] < way["sent"] / 10
        assert 0 < way["delay_p50_ms"] <= way["delay_p99_ms"]
    assert level["bridge_percent"] > 0
    assert level["rss_per_call_mb"] > 0
    assert "per call" in capsys.readouterr().out


async def test_calls_beside_messages_are_measured_without_and_with_them(
    tmp_path: Path, cxone: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SETTLE_SECONDS", "AFTER_SECONDS"):
        monkeypatch.setattr(chats_calls, name, 1.0)
    measured: list[int] = []

    async def relay(pids: Sequence[int]) -> Rate:
        measured.extend(pids)
        return Rate(per_second=300, messages=0, cost=Cost(0, 0, 0, 0))

    with media_load("websocket", tmp_path, "agents", media.AGENTS_FIRST_STREAM) as agents:
        projects = chats_calls.CallsBeside.project(agents)
        clients = {"bench": client_settings(media.NUMBER, cxone.url, projects)}
        with bridge(bridge_settings(tmp_path, clients), tmp_path) as running:
            pids = [running.program.pid]
            calls = await chats_calls.CallsBeside(tmp_path, running, agents, pids, calls=2, seconds=1).measure(relay)
    assert (calls.calls, calls.failed, calls.messages.per_second) == (2, 0, 300)
    assert len(set(measured)) == len(measured) == 4  # bridge, agents, callers, SIPp
    for audio in (calls.alone, calls.beside):
        assert audio.cost.cpu_ms > 0
        for way in (audio.to_agent, audio.to_caller):
            assert 2 * 45 < way.sent < 2 * 60
            assert way.lost < way.sent / 10
