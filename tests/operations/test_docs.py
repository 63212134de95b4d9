"""The documents for operators name what the program has, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipbridge.telemetry import Metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
THREATS = (DOCS / "threat-model.md").read_text(encoding="utf-8")
# Of the agents' protocol, which has events too; and programs that are no bridge.
NO_LOGS = ("agents/websocket", "simulators")


def test_every_metric_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:sipbridge|process)_[a-z_]+\b(?!\.[ch]pp)", OPERATIONS + THREATS)) - {
        "sipbridge_pjsip"
    }
    assert named - _series() == set()


def test_the_table_of_events_has_every_event_and_no_other() -> None:
    table = re.findall(r"^\| (`[a-z_`, ]+) \| (?:info|warning|error)", OPERATIONS, re.MULTILINE)
    listed = {name for cell in table for name in re.findall(r"`([a-z_]+)`", cell)}
    assert listed == _events()


def test_every_event_that_a_query_looks_for_exists() -> None:
    sought = set(re.findall(r'\.event == "([a-z_]+)"', OPERATIONS))
    assert sought
    assert sought - _events() == set()


@pytest.mark.parametrize("page", ["operations.md", "threat-model.md"])
def test_what_is_linked_to_is_there(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = DOCS / path if path else DOCS / page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", THREATS)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def _series() -> set[str]:
    page = Metrics(pjsip_version="2.17").page().decode()
    parts = ("", "_total", "_bucket", "_sum", "_count", "_info")
    return {family.name + part for family in text_string_to_metric_families(page) for part in parts}


def _events() -> set[str]:
    package = ROOT / "sipbridge"
    files = [path for path in package.rglob("*.py") if not str(path.relative_to(package)).startswith(NO_LOGS)]
    return {event for path in files for event in re.findall(r'"event"(?:: |\] = )"([a-z_]+)"', path.read_text())}


def _anchors(text: str) -> set[str]:
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
