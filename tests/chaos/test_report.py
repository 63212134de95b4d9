"""The result of a run: its exit code, and the folder with the logs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .counts import Breach, Counts
from .report import print_result

BREACH = Breach("signalled twice", ["contact-7"])


def print_counts(folder: Path, counts: Counts, *faults: str, keep: bool = False) -> int:
    chats: Any = SimpleNamespace(seen="9 chats ended", faults=faults)
    return print_result({"kills": counts}, chats, folder, keep=keep)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def test_a_run_that_broke_no_rule_succeeds_and_leaves_no_logs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_counts(folder, Counts(calls=12)) == 0
    assert not folder.exists()
    assert "No rule was broken." in capsys.readouterr().out


def test_the_logs_remain_if_they_are_asked_for(folder: Path) -> None:
    assert print_counts(folder, Counts(), keep=True) == 0
    assert folder.exists()


@pytest.mark.parametrize(
    ("counts", "faults", "line"),
    [
        (Counts(breaches=[BREACH]), [], "kills: signalled twice: contact-7"),
        (Counts(late=[BREACH]), [], "kills: signalled twice: contact-7"),
        (Counts(), ["chat s1-001-002: other fates"], "chats: chat s1-001-002: other fates"),
    ],
)
def test_a_run_that_broke_a_rule_fails_names_it_and_leaves_the_logs(
    folder: Path, capsys: pytest.CaptureFixture[str], counts: Counts, faults: list[str], line: str
) -> None:
    assert print_counts(folder, counts, *faults) == 1
    printed = capsys.readouterr().out
    assert f"BROKEN\n  {line}\n" in printed
    assert str(folder) in printed
    assert folder.exists()
