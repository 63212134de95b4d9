from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from sipbridge.config import StoreConfig
from sipbridge.errors import StartupError
from sipbridge.store import open_store


def config(path: Path) -> StoreConfig:
    return StoreConfig(url=f"sqlite:///{path}")


def test_a_new_file_is_readable_by_its_owner_only(path: Path) -> None:
    asyncio.run(open_store(config(path)).close())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_a_database_is_named_in_the_error(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StartupError, match=r"^store\.url: .*calls\.db cannot be used: file is not a database"):
        open_store(config(path))


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"store\.url: .*missing/calls\.db cannot be written: No such file"):
        open_store(config(tmp_path / "missing" / "calls.db"))


def test_a_file_of_a_newer_version_is_not_changed(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StartupError, match="schema version 99, but this sipbridge needs 1"):
        open_store(config(path))


def test_a_file_in_use_is_refused_until_the_other_bridge_ends(path: Path) -> None:
    first = open_store(config(path))
    refused = rf"store\.url: .*calls\.db is in use by another sipbridge \(process {os.getpid()}\); stop it, or name"
    for _ in range(2):
        with pytest.raises(StartupError, match=refused):
            open_store(config(path))
    asyncio.run(first.close())
    asyncio.run(open_store(config(path)).close())


def test_a_failed_open_releases_the_lock(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    for _ in range(2):
        with pytest.raises(StartupError, match="file is not a database"):
            open_store(config(path))
    path.unlink()
    asyncio.run(open_store(config(path)).close())


def test_redis_is_refused() -> None:
    with pytest.raises(StartupError, match="not supported in this release; use sqlite:///PATH"):
        open_store(StoreConfig(url="redis://127.0.0.1:6379/0"))
