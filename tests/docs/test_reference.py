"""The reference has everything that the code has, and the pages that explain it agree with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sipbridge.cli import cli
from sipbridge.config.fields import Section
from sipbridge.web.app import ADMIN_OPERATIONS, OPERATIONS
from tests.docs.reference import PAGES, SEE_ALSO, commands, configuration, http, log_events, metrics
from tests.docs.staging import DOCS
from tests.docs.tables import anchor_of, anchors_of, table, tables_of
from tests.monitoring.catalogue import bridge_series
from tests.test_fixed_names import names

# Its default stands for a section of its own.
SECTION_WRITTEN_AS_A_WORD = "transcript"


def rows(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_key_is_in_the_reference() -> None:
    listed = set()
    for path, section in configuration.sections():
        prefix = "" if path == "the file" else f"{path.partition(' ')[0]}."
        listed |= {f"key {prefix}{name}" for name in section.model_fields}
    fixed = {name for name in names() if name.startswith("key ")}
    assert len(fixed) > 100
    assert fixed - listed == set()


def test_a_key_has_its_type_default_and_meaning() -> None:
    found = {row[0]: row for row in rows(configuration.page())}
    key, kind, default, meaning = found["`max_calls_per_second`"]
    assert (key, kind, default) == ("`max_calls_per_second`", "integer, above 0, at most 1,000,000", "`200`")
    assert meaning.startswith("New calls per second from one source address")
    assert all(row[3] for row in found.values())


def documented_defaults() -> Iterator[tuple[str, str, str]]:
    """The keys whose default is a value in docs/configuration.md: section, key, and that value."""
    for path, section in configuration.sections():
        explained = configuration.explanation(section)
        for name in section.model_fields:
            row = explained.row(name) if explained else None
            if row and re.fullmatch("`[^`]+`", row["default"]) and name != SECTION_WRITTEN_AS_A_WORD:
                yield path, name, row["default"].strip("`")


@pytest.mark.parametrize(("path", "name", "documented"), list(documented_defaults()))
def test_the_documented_default_is_that_of_the_code(path: str, name: str, documented: str) -> None:
    section: type[Section] = dict(configuration.sections())[path]
    default = configuration.default_of(section.model_fields[name])
    assert default.replace('"', "") == documented.replace('"', "")


def test_most_defaults_are_compared() -> None:
    assert len(list(documented_defaults())) > 70


def test_every_metric_is_in_the_reference_with_its_documented_labels() -> None:
    found = {row[0].strip("`"): row for row in rows(metrics.page())}
    series = {re.sub("_(bucket|sum|count)$", "", name) for name in bridge_series()}
    assert series - found.keys() == set()
    explained = next(each for each in tables_of("metrics.md") if each.columns[0] == "name")
    for name, labels, _ in explained.rows:
        assert set(labels.split()) == set(found[name.strip("`")][2].split()), name
    assert "0.005 0.01 0.025" in found["sipbridge_handoff_seconds"][4]


def test_every_operation_is_in_the_reference() -> None:
    page = http.page()
    for operation in (*OPERATIONS, *ADMIN_OPERATIONS):
        assert f"### `{operation.method} {operation.path}`\n" in page
    anchors = {anchor_of(heading) for heading in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(reference/http\.md#([^)]+)\)", page)) - anchors == set()


def test_every_command_is_in_the_reference() -> None:
    page = commands.page()
    for name in cli.commands:
        assert f"## `sipbridge {name}`\n" in page
    assert "--handoff-seconds S" in page


def test_every_log_event_is_in_the_reference_with_its_meaning() -> None:
    explained = {word for each in tables_of("operations.md") if each.columns[0] == "`event`" for word in each.words}
    found = {row[0].strip("`"): row for row in rows(log_events.page())}
    assert explained - found.keys() == set()
    assert all(row[4] for row in found.values())
    assert found["tls_refused"][1:3] == ["info", "`inbound TLS from …, port …, failed: …`"]
    assert found["webhook_failing"][3] == "`client` `project`"
    assert found["config_restart_required"][3] == ""
    assert found["contact_shared"][3] == "the call's ids"


def test_lines_lead_to_the_reference_from_pages_that_exist() -> None:
    for page, line in SEE_ALSO.items():
        assert (DOCS / page).exists()
        assert set(re.findall(r"\(([^)#]+)\)", line)) <= PAGES.keys()


def test_a_cell_keeps_its_pipes() -> None:
    assert table(("a", "b"), [("`x\\|y`", "z")]) == "| a | b |\n| --- | --- |\n| `x\\|y` | z |\n"


def test_headings_have_the_anchors_of_github() -> None:
    assert "a-first-agent" in anchors_of("tutorial.md")
    assert "store-the-records-and-the-chats" in anchors_of("configuration.md")
