"""Files that a configuration names: each error of the system is a problem with a text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipbridge.config import write_problem
from sipbridge.config.file_access import read_problem

TOO_LONG = "a" * 256


def _deny_access(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the system deny access to all files, as in a folder of another user."""

    def stat(_self: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", stat)


def test_a_readable_file_has_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert read_problem(file) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "No such file or directory"),
        (".", "it is not a file"),
        (TOO_LONG, "File name too long"),
        ("a\0b", "the path holds a character that no path can have"),
    ],
)
def test_a_file_that_cannot_be_read_has_the_reason_of_the_system(tmp_path: Path, name: str, reason: str) -> None:
    right = "paths are relative to the configuration file"
    assert read_problem(tmp_path / name) == f"names no readable file ({reason}); {right}"


def test_a_file_in_a_folder_of_another_user_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deny_access(monkeypatch)
    assert "Permission denied" in str(read_problem(tmp_path / "file"))
    file = tmp_path / "calls.db"
    right = "name another, or give it to the bridge's user"
    assert write_problem(file) == f"{file} cannot be used: Permission denied; {right}"


def test_a_new_file_and_an_existing_one_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / "calls.db"
    assert write_problem(file) is None
    file.touch()
    assert write_problem(file) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none/calls.db", "the folder {}/none does not exist; create it, "),
        ("file/calls.db", "the folder {}/file does not exist; create it, "),
        ("folder", "{}/folder is not a file; remove it, or name another"),
        (TOO_LONG, f"{{}}/{TOO_LONG} cannot be used: File name too long; "),
    ],
)
def test_a_file_that_cannot_be_written_says_what_to_do(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert str(write_problem(tmp_path / name)).startswith(problem.format(tmp_path))


def test_a_file_that_this_user_may_not_write_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "calls.db"
    file.touch()
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != file)
    assert write_problem(file) == f"{file} cannot be written by this user; give its folder to the bridge's user"
