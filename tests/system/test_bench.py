from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import cluster, fleet, media, peer
from tests.bench import handoffs as bench
from tests.bench.media_results import ROUND_TRIP, TO_AGENT, TO_CALLER
from tests.bench.peer_report import ASTERISK, SIPBRIDGE, figures
from tests.harness.programs.simulator import simulator


def test_the_benchmark_measures_both_handoffs_and_writes_all_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench.json"
    options = ["--rates", "10", "--seconds", "1", "--held", "5", "--held-seconds", "3", "--output", str(file)]
    options += ["--store", "redis"]
    assert bench.main(options) == 0
    figures = json.loads(file.read_text())
    (handoffs,) = figures["handoffs"]
    assert (handoffs["load"]["calls"], handoffs["load"]["failed"], handoffs["failed_by_metrics"]) == (10, 0, 0)
    assert handoffs["load"]["cpu_ms_per_call"] > 0
    assert handoffs["load"]["threads"]["sip"]["cpu_ms"] > 0
    assert handoffs["load"]["refer"]["p99"] >= handoffs["load"]["refer"]["p50"] >= 0
    (with_redis,) = figures["redis"]
    assert (with_redis["load"]["calls"], with_redis["load"]["failed"], with_redis["failed_by_metrics"]) == (10, 0, 0)
    assert figures["baseline"][0]["failed"] == 0
    assert (figures["held"]["calls"], figures["held"]["failed"]) == (5, 0)
    assert "SIPp alone" in capsys.readouterr().out


@pytest.mark.parametrize("kind", media.KINDS)
def test_the_audio_benchmark_measures_each_way_and_writes_all_figures(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench-media.json"
    options = ["--calls", "4", "--seconds", "2", "--kinds", kind, "--output", str(file)]
    assert media.main(options) == 0
    (level,) = json.loads(file.read_text())["levels"]
    assert (level["kind"], level["calls"], level["failed"]) == (kind, 4, 0)
    assert set(level["ways"]) == ({ROUND_TRIP} if kind == "echo" else {TO_AGENT, TO_CALLER})
    for way in level["ways"].values():
        assert 4 * 95 < way["sent"] < 4 * 200
        assert way["lost"] < way["sent"] / 10
        assert 0 < way["delay_p50_ms"] <= way["delay_p99_ms"]
    assert level["bridge_percent"] > 0
    assert level["rss_per_call_mb"] > 0
    assert "per call" in capsys.readouterr().out


def test_the_comparison_gives_both_systems_the_same_handoffs_in_turn(tmp_path: Path) -> None:
    options = ["--asterisk", "", "--rounds", "2", "--rates", "10", "--seconds", "1", "--calls", ""]
    with simulator(tmp_path) as cxone:
        serve = peer.serving_bridge(cxone.url)  # for both: this test needs no Asterisk
        bench = peer.PeerBench(tmp_path, peer.read_options(options), {SIPBRIDGE: serve, ASTERISK: serve}, {})
        report = bench.measure()
    assert [run.system for run in report.handoffs] == [SIPBRIDGE, ASTERISK] * 2
    assert {(run.load.calls, run.load.failed) for run in report.handoffs} == {(10, 0)}
    cpu, *_ = figures(report)
    assert cpu.ratio is not None
    assert 0.2 < cpu.ratio < 5


def test_the_fleet_benchmark_sends_what_a_bridge_sends_for_each_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench-fleet.json"
    options = ["--nodes", "3", "--calls", "20", "--seconds", "3", "--output", str(file)]
    assert fleet.main(options) == 0
    figures = json.loads(file.read_text())
    assert figures["commands_per_call"] >= 6  # begun, stored twice, claimed, settled, removed
    without, read = figures["levels"]
    for level in without, read:
        assert (level["nodes"], level["failed"]) == (3, 0)
        assert 2 / 3 <= level["renewals_per_second"] <= 4 / 3
        assert 10 <= level["calls_per_second"] <= 30
        assert level["commands_per_second"] > 10 * figures["commands_per_call"]
    assert without["wakes_per_second"] == 0
    assert read["wakes_per_second"] > 3 * read["calls_per_second"]
    assert "3 " in capsys.readouterr().out


@pytest.mark.timeout(180)  # a takeover
def test_the_cluster_benchmark_measures_commands_a_drain_and_a_takeover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "bench-cluster.json"
    cluster.main(["--requests", "4", "--calls", "4", "--lease", "2", "--output", str(file)])
    figures = json.loads(file.read_text())
    names = ["GET detail", "POST turns", "POST hangup", "POST handoff"]
    assert [command["name"] for command in figures["commands"]] == names
    assert all(command["at_owner"]["p50"] > 0 < command["forwarded"]["p50"] for command in figures["commands"])
    assert figures["draining_ms"]["p50"] > 0
    assert (figures["signalled"], figures["signalled_twice"]) == (4, 0)
    assert figures["dead_ms"] > 1000, "the first call of the dead node waits for its silence"
    assert "met    each of them signalled once: 4, 0 twice" in capsys.readouterr().out
