from __future__ import annotations

from pathlib import Path

import pytest

from .files import config_problems, load, tree


@pytest.mark.parametrize(
    "journal", ["sipbridge.db", "./sipbridge.db", "sipbridge.db-wal", "sipbridge.db.lock", "sipbridge.db.chats"]
)
def test_the_journal_must_not_be_a_file_of_the_database(tmp_path: Path, journal: str) -> None:
    (found,) = config_problems(tmp_path, tree(store={"journal": journal}))
    assert found.startswith("store.journal: is a file of the database in store.url; ")


def test_an_absolute_store_path_and_a_redis_url_are_unchanged(tmp_path: Path) -> None:
    assert load(tmp_path, tree(store={"url": "sqlite:////var/lib/x.db"})).store.sqlite_path == Path("/var/lib/x.db")
    redis = load(tmp_path, tree(store={"url": "redis://localhost:6379/0"})).store
    assert (redis.url, redis.sqlite_path) == ("redis://localhost:6379/0", None)


@pytest.mark.parametrize(("key", "value"), [("url", "sqlite:///a\0b"), ("journal", "a\0b")])
def test_no_path_of_the_store_has_a_control_character(tmp_path: Path, key: str, value: str) -> None:
    assert config_problems(tmp_path, tree(store={key: value})) == [
        f"store.{key}: holds a line break or another control character; write one line of text"
    ]
