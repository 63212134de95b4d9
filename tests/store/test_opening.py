from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import StartupError
from sipbridge.store import open_store


async def open_at(path: Path) -> RecordStore:
    return await open_store(StoreConfig(url=f"sqlite:///{path}"))


async def test_a_new_file_is_readable_by_its_owner_only(path: Path) -> None:
    await (await open_at(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_not_a_database_is_named_in_the_error(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StartupError, match=r"^store\.url: .*calls\.db cannot be used: file is not a database"):
        await open_at(path)


async def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"store\.url: .*missing/calls\.db cannot be written: No such file"):
        await open_at(tmp_path / "missing" / "calls.db")


async def test_a_file_of_a_newer_version_is_not_changed(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StartupError, match="schema version 99, but this sipbridge needs 1"):
        await open_at(path)


async def test_a_file_in_use_is_refused_until_the_other_bridge_ends(path: Path) -> None:
    first = await open_at(path)
    refused = rf"store\.url: .*calls\.db is in use by another sipbridge \(process {os.getpid()}\); stop it, or name"
    for _ in range(2):
        with pytest.raises(StartupError, match=refused):
            await open_at(path)
    await first.close()
    await (await open_at(path)).close()


async def test_a_failed_open_releases_the_lock(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    for _ in range(2):
        with pytest.raises(StartupError, match="file is not a database"):
            await open_at(path)
    path.unlink()
    await (await open_at(path)).close()
