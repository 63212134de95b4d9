from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config.redis_url import Credentials, RedisUrl

from .files import config_problems, load, tree

POP_SECRET = "a-secret-of-sixteen"
NODE: dict[str, Any] = {"node": {"id": "a"}, "http": {"pop_link_secret": POP_SECRET}}


@pytest.mark.parametrize(
    "journal", ["sipbridge.db", "./sipbridge.db", "sipbridge.db-wal", "sipbridge.db.lock", "sipbridge.db.chats"]
)
def test_the_journal_must_not_be_a_file_of_the_database(tmp_path: Path, journal: str) -> None:
    (found,) = config_problems(tmp_path, tree(store={"journal": journal}))
    assert found.startswith("store.journal: is a file of the database in store.url; ")


def test_an_absolute_store_path_is_unchanged(tmp_path: Path) -> None:
    assert load(tmp_path, tree(store={"url": "sqlite:////var/lib/x.db"})).store.sqlite_path == Path("/var/lib/x.db")


def test_a_redis_url_has_a_journal_beside_the_configuration(tmp_path: Path) -> None:
    store = load(tmp_path, tree(store={"url": "redis://localhost"}, **NODE)).store
    assert (store.sqlite_path, store.chats_path, store.database_files) == (None, None, ())
    assert store.journal_path == tmp_path / "sipbridge.journal"


def test_a_store_in_redis_needs_what_nodes_share(tmp_path: Path) -> None:
    found = config_problems(tmp_path, tree(store={"url": "redis://localhost"}))
    assert {line.partition(";")[0] for line in found} == {"node.id: is missing", "http.pop_link_secret: is missing"}


def test_other_nodes_need_an_address_of_one_that_listens_on_all(tmp_path: Path) -> None:
    http = {"pop_link_secret": POP_SECRET, "listen": "0.0.0.0:8080"}
    shared: dict[str, Any] = {"store": {"url": "redis://localhost"}, "http": http}
    (found,) = config_problems(tmp_path, tree(**shared, node={"id": "a"}))
    assert found.startswith("node.internal_url: is missing; ")
    node = load(tmp_path, tree(**shared, node={"id": "a", "internal_url": "http://10.0.0.5:8080"})).node
    assert (node.internal_url, node.lease_seconds) == ("http://10.0.0.5:8080", 15)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://h", RedisUrl((("h", 6379),))),
        ("redis://[::1]:1/3", RedisUrl((("::1", 1),), database=3)),
        ("rediss://u:p%40%2F@h/", RedisUrl((("h", 6379),), tls=True, credentials=Credentials("u", "p@/"))),
        (
            "redis+sentinel://:pw@a:1,b/main/2?sentinel_password=s",
            RedisUrl(
                (("a", 1), ("b", 26379)),
                database=2,
                service="main",
                credentials=Credentials(None, "pw"),
                sentinel_credentials=Credentials(None, "s"),
            ),
        ),
    ],
)
def test_the_parts_of_a_redis_url(url: str, parts: RedisUrl) -> None:
    assert RedisUrl.parse(url) == parts
    assert "p%40" not in str(parts)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis://:secret@", "has no valid host"),
        ("redis://:secret@h:99999", "is not a valid URL, or its port is over 65535"),
        ("redis://secret@h", "has a user without a password"),
        ("redis://:secret@h/x", "is not a valid Redis URL"),
        ("redis+sentinel://:secret@h", "is not a valid Redis URL"),
        ("redis://:sec#ret@h", "has a #, which a password has to give as %23"),
        ("redis://:secret@h?secret=1", "has an unknown parameter after ?"),
    ],
)
def test_an_invalid_redis_url_is_refused_without_its_password(tmp_path: Path, url: str, fault: str) -> None:
    (found,) = config_problems(tmp_path, tree(store={"url": url}, **NODE))
    assert found.startswith(f"store.url: {fault}; ")
    assert "secret" not in found


@pytest.mark.parametrize(("key", "value"), [("url", "sqlite:///a\0b"), ("journal", "a\0b")])
def test_no_path_of_the_store_has_a_control_character(tmp_path: Path, key: str, value: str) -> None:
    assert config_problems(tmp_path, tree(store={key: value})) == [
        f"store.{key}: holds a line break or another control character; write one line of text"
    ]
