"""The alert and recording rules: promtool evaluates each, and the code has every name in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .names import find_unknown_names
from .rules import ALERTS, RECORDS, ROOT, RULES, Rule

HERE = Path(__file__).parent
CASES: dict[str, Any] = yaml.safe_load((HERE / "alerts.yaml").read_text())
RECORD_CASES: dict[str, Any] = yaml.safe_load((HERE / "records.yaml").read_text())
SILENT_MINUTES = 30


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", RULES)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires(name: str, tmp_path: Path) -> None:
    case = CASES[name]["fires"]
    expected = {
        "exp_labels": case["labels"] | ALERTS[name]["labels"],
        "exp_annotations": filled_in(name, case["labels"]),
    }
    check = {"alertname": name, "eval_time": f"{case['minute']}m", "exp_alerts": [expected]}
    evaluate(tmp_path, case["series"], alert_rule_test=[check])


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_stays_silent(name: str, tmp_path: Path) -> None:
    case = CASES[name]["silent"]
    minutes = range(case.get("from", 0), case.get("minutes", SILENT_MINUTES))
    checks = [{"alertname": name, "eval_time": f"{minute}m", "exp_alerts": []} for minute in minutes]
    evaluate(tmp_path, case["series"], alert_rule_test=checks)


@pytest.mark.parametrize("name", RECORDS)
def test_a_recorded_series_has_its_value(name: str, tmp_path: Path) -> None:
    case = RECORD_CASES[name]
    samples = [{"labels": labels, "value": value} for labels, value in case["values"].items()]
    check = {"expr": f"round({name}, 0.001)", "eval_time": "30m", "exp_samples": samples}
    evaluate(tmp_path, case["series"], promql_expr_test=[check])


@pytest.mark.parametrize("cases", [CASES, RECORD_CASES], ids=["alerts", "records"])
def test_yaml_reads_no_series_as_a_number(cases: dict[str, Any]) -> None:
    """A lone `0x20` is 32 to YAML, and promtool would see one sample."""
    sections = [part for case in cases.values() for part in (case, case.get("fires"), case.get("silent")) if part]
    series = [(name, values) for part in sections for name, values in part.get("series", {}).items()]
    assert series
    assert [name for name, values in series if not isinstance(values, str)] == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_means_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert re.search(r"[a-z}]\.$", rule["annotations"]["summary"])
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", [*ALERTS.values(), *RECORDS.values()], ids=[*ALERTS, *RECORDS])
def test_the_code_has_every_name_in_a_rule(rule: Rule) -> None:
    assert find_unknown_names(rule["expr"]) == set()


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ('sum by (client) (rate(sipbridge_signals_total{result!="success"}[5m]))', set()),
        ('sum by (clients) (rate(sipbridge_signals_total{result!="success"}[5m]))', {"clients"}),
        ('rate(sipbridge_signal_total{result!="success"}[5m])', {"sipbridge_signal_total"}),
        ('rate(sipbridge_signals_total{results!="success"}[5m])', {"results"}),
        ('rate(sipbridge_signals_total{result=~"success|failure_of_none"}[5m])', {"failure_of_none"}),
        ("sipbridge_draining == bool 0 unless on (node) up offset 5m", {"node"}),
        ("client:sipbridge_signals_failed:ratio_rate5m > 0.02", {"client:sipbridge_signals_failed:ratio_rate5m"}),
    ],
)
def test_a_typing_error_is_found(query: str, unknown: set[str]) -> None:
    assert find_unknown_names(query) == unknown


def filled_in(name: str, labels: dict[str, str]) -> dict[str, str]:
    """Return the annotations of an alert with these labels."""
    texts: dict[str, str] = ALERTS[name]["annotations"]
    return {key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text) for key, text in texts.items()}


def evaluate(folder: Path, series: dict[str, str], **tests: list[dict[str, Any]]) -> None:
    """Let promtool evaluate the rules once per minute of these series."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    group = {"interval": "1m", "input_series": inputs, **tests}
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [group]}))
    promtool("test", "rules", file)


def promtool(*arguments: str | Path) -> None:
    """Run it, and show what it says if it fails."""
    run = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 (Debian's)
    assert run.returncode == 0, run.stdout + run.stderr
