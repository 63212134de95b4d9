"""The operators' documents name the program's metrics and events correctly and completely."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge.web.api.operation import AnyOperation
from sipbridge.web.app import OPERATIONS as OPERATIONS_OF_THE_API
from tests.monitoring.catalogue import bridge_series

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
MONITORING = (DOCS / "monitoring.md").read_text(encoding="utf-8")
THREATS = (DOCS / "threat-model.md").read_text(encoding="utf-8")
# Events of the agents' protocol, and programs other than the bridge.
NO_LOGS = ("agents/websocket", "simulators")
EVENT = re.compile(r'(?:"event"(?:: |\] = )|\b_(?:log|extra)\()"([a-z_]+)"')


def test_every_documented_metric_exists() -> None:
    named = set(re.findall(r"\b(?:sipbridge|process)_[a-z_]+\b(?!\.[ch]pp)", OPERATIONS + MONITORING + THREATS)) - {
        "sipbridge_pjsip"
    }
    families = {name.removesuffix("_bucket") for name in bridge_series()}
    assert named - bridge_series().keys() - families == set()


def test_the_table_of_events_is_complete_and_correct() -> None:
    table = re.findall(r"^\| (`[a-z_`, ]+) \| (?:debug|info|warning|error)", OPERATIONS, re.MULTILINE)
    listed = {name for cell in table for name in re.findall(r"`([a-z_]+)`", cell)}
    assert listed == _events()


def test_the_table_of_events_has_each_level_above_debug() -> None:
    table = re.findall(r"^\| (`[a-z_`, ]+) \| ([a-z, ]+) \|", OPERATIONS, re.MULTILINE)
    listed = {
        (name, level) for cell, levels in table for name in re.findall(r"`(\w+)`", cell) for level in levels.split(", ")
    }
    found = {each for path in _files() for each in _levels(ast.parse(path.read_text(encoding="utf-8")))}
    assert ("store_failing", "error") in found, "a line whose event is in a variable"
    assert {each for each in found if each[1] != "debug"} - listed == set()


def test_every_event_in_a_query_exists() -> None:
    sought = set(re.findall(r'\.event == "([a-z_]+)"', OPERATIONS))
    assert sought
    assert sought - _events() == set()


@pytest.mark.parametrize("operation", OPERATIONS_OF_THE_API, ids=lambda each: f"{each.method} {each.path}")
def test_every_operation_of_the_api_is_documented(operation: AnyOperation) -> None:
    """Ids in a path may have other names on the page, which leaves out what all paths of a project begin with."""
    page = re.sub(r"\{\w+\}", "{}", (DOCS / "http-api.md").read_text(encoding="utf-8"))
    path = re.sub(r"\{\w+\}", "{}", operation.path)
    for prefix in ("/v1/{}/{}/", "/byoc/{}/{}/{}/"):
        path = path.removeprefix(prefix)
    assert re.search(rf"`{operation.method} {re.escape(path)}[`?]", page)


@pytest.mark.parametrize("page", ["../README.md", *sorted(path.name for path in DOCS.glob("*.md"))])
def test_every_link_has_a_target(page: str) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = (DOCS / page).parent / path if path else DOCS / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_every_test_in_the_threat_model_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", THREATS)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def _files() -> list[Path]:
    package = ROOT / "sipbridge"
    return [path for path in package.rglob("*.py") if not str(path.relative_to(package)).startswith(NO_LOGS)]


def _events() -> set[str]:
    return {event for path in _files() for event in EVENT.findall(path.read_text(encoding="utf-8"))}


def _levels(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the events of log lines with their levels, if `extra` is a dict there or in the last variable above."""
    assigned: dict[str, ast.expr] = {}
    for node in sorted(_placed(tree), key=lambda each: each.lineno):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                assigned[name] = node.value
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=level)) if level != "log":
                for extra in (keyword.value for keyword in node.keywords if keyword.arg == "extra"):
                    fields = assigned.get(extra.id) if isinstance(extra, ast.Name) else extra
                    found = re.match(r"{'event': '(\w+)'", ast.unparse(fields)) if fields else None
                    if found:
                        yield found[1], "error" if level == "exception" else level


def _placed(tree: ast.Module) -> Iterator[ast.stmt | ast.expr]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.expr))


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_test_modules_is_complete_and_correct() -> None:
    table = (ROOT / "docs" / "testing.md").read_text().partition("| package of `tests/` | module |")[2]
    listed, package = set(), ""
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        _, first, modules, *_ = line.split("|")
        package = first.strip(" `") or package
        listed |= {f"{package}/{module}.py" for module in re.findall(r"`(\w+)`", modules)}
    packages = {path.rpartition("/")[0] for path in listed}
    helpers = {
        f"{package}/{path.name}"
        for package in packages
        for path in (ROOT / "tests" / package).glob("*.py")
        if not path.name.startswith("test_") and path.name not in ("__init__.py", "conftest.py")
    }
    assert listed == helpers
