from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.prose.check import EXEMPT, ROOT, check, exempts, files
from tests.prose.rules import RULES, Kind, Rule
from tests.prose.texts import texts

FLAGGED = [(rule, example) for rule in RULES for example in rule.flags]
ACCEPTED = [(rule, example) for rule in RULES for example in rule.accepts]


@pytest.mark.parametrize(("rule", "example"), FLAGGED, ids=lambda value: getattr(value, "name", value))
def test_a_rule_flags_the_old_wording(rule: Rule, example: str) -> None:
    assert rule.regex.search(example)


@pytest.mark.parametrize(("rule", "example"), ACCEPTED, ids=lambda value: getattr(value, "name", value))
def test_a_rule_accepts_wording_that_looks_similar(rule: Rule, example: str) -> None:
    assert not rule.regex.search(example)


def test_every_row_of_the_glossary_has_a_rule() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    table = glossary.partition("| don't write |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    rules = {rule.name for rule in RULES}
    assert len(rows) > 15
    assert [row for row in rows if row.strip("- ") and row not in rules] == []


def test_every_exemption_is_still_needed() -> None:
    for exemption in EXEMPT:
        path = ROOT / exemption.path
        assert any(exempts(exemption, text) for text in texts(path)), exemption
        found = [finding for finding in check([path], exempt=()) if finding.path == exemption.path]
        assert found, exemption


def test_each_kind_of_text_is_found_in_a_module(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Whether anew."""\n'
        "# a lack\n"
        "# of ports\n"
        "def test_nobody_comes() -> None:\n"
        '    logger.warning("Call %s ended.", call)\n'
        '    raise ValueError(f"{name} is no string")\n'
    )
    found = {(finding.line, finding.kind, finding.rule) for finding in check([module])}
    assert found == {
        (1, Kind.DOCSTRING, "docstring opens with whether"),
        (1, Kind.DOCSTRING, "anew"),
        (2, Kind.COMMENT, "lack"),
        (4, Kind.TEST, "nobody, whoever"),
        (5, Kind.LOG, "log message ends with a full stop"),
        (5, Kind.LOG, "log message begins with a capital"),
        (6, Kind.ERROR, "is no X"),
    }


def test_code_and_link_targets_of_a_page_are_not_checked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A `room` and\n[a page](anew.md).\n\n```\nnobody\n```\n\nNobody is here.\n")
    assert [(finding.line, finding.rule) for finding in check([page])] == [(8, "nobody, whoever")]


def test_a_sentence_of_more_than_thirty_words_is_flagged_on_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{'word ' * 29}end.\n\n{'word ' * 30}end.\n\n| {'word ' * 40} |\n")
    assert [(finding.line, finding.rule) for finding in check([page])] == [(3, "long sentence")]


def test_a_line_over_a_hundred_columns_is_flagged_if_a_sentence_ends_in_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{'word ' * 15}end. {'Word ' * 15}end.\n\n{'longer-word ' * 10}end.\n\n| a. B {'c' * 100} |\n")
    assert [(finding.line, finding.rule) for finding in check([page])] == [(1, "long line")]


def test_of_the_changelog_only_the_unreleased_section_is_checked(tmp_path: Path) -> None:
    page = tmp_path / "CHANGELOG.md"
    page.write_text("# Changelog\n\n## [Unreleased]\n\nRead anew.\n\n## [0.1.0]\n\nRead anew.\n")
    assert [finding.line for finding in check([page])] == [5]


def test_the_glossary_is_not_checked_against_itself() -> None:
    assert files([ROOT / "docs" / "glossary.md"]) == []
