"""A Redis that cannot be used is refused at the start, with a remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import StoreConfig
from sipbridge.errors import ConfigError
from sipbridge.store import open_chat_store, open_store
from sipbridge.store.redis import checks
from sipbridge.store.start_wait import StartWait
from tests.harness.certificates import Authority
from tests.harness.ports import free_port
from tests.harness.programs.redis import RedisServer, redis_server

Opens = Callable[..., Any]


async def problems(url: str, wait: StartWait | None = None) -> list[str]:
    """Return the problems of a store with this URL, without the key and the URL; none if it opens."""
    try:
        store = await open_store(StoreConfig(url=url), wait=wait)
    except ConfigError as error:
        lines = error.problems
    else:
        await store.close()
        return []
    assert not any("secret" in line for line in lines)
    assert all(line.startswith("store.url: redis") for line in lines)
    return [line.split(" ", 2)[2] for line in lines]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("redis://user:secret@127.0.0.1:PORT", "refuses the user or the password; "),
        ("redis://127.0.0.1:PORT/99", "does not have this database; "),
        ("redis://no-such-host.invalid", "has a host that cannot be resolved; "),
        ("redis://127.0.0.1:FREE", "refuses connections; "),
        ("redis+sentinel://127.0.0.1:PORT/main", "is not a Sentinel; "),
        ("redis+sentinel://127.0.0.1:FREE/main", "has Sentinels that do not respond, "),
        ("rediss://127.0.0.1:PORT", "does not respond; "),
    ],
)
async def test_a_wrong_address_is_refused(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, address: str, problem: str
) -> None:
    monkeypatch.setattr(checks, "START_SECONDS", 1.0)
    url = address.replace("PORT", str(redis.port)).replace("FREE", str(free_port()))
    (found,) = await problems(url)
    assert found.startswith(problem)


SETTINGS: dict[str, tuple[Callable[[RedisServer], object], list[str]]] = {
    "full": (lambda it: it.run("CONFIG", "SET", "maxmemory", "1kb"), ["has no memory left; "]),
    "replica": (lambda it: it.run("REPLICAOF", "127.0.0.1", free_port()), ["is a replica; "]),
    "all at once": (
        lambda it: it.run(
            "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru", "min-replicas-to-write", "1"
        ),
        [
            "has fewer replicas than min-replicas-to-write; ",
            "removes data when its memory is full (maxmemory-policy allkeys-lru); ",
        ],
    ),
}


@pytest.mark.parametrize(("change", "expected"), SETTINGS.values(), ids=SETTINGS)
async def test_a_redis_that_would_lose_records_is_refused(
    tmp_path: Path, change: Callable[[RedisServer], object], expected: list[str]
) -> None:
    with redis_server(tmp_path) as server:
        assert await problems(server.url) == []
        change(server)
        found = await problems(server.url)
    assert len(found) == len(expected)
    assert all(each.startswith(start) for each, start in zip(found, expected, strict=True))


async def test_an_old_redis_is_refused(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST", (99, 0))
    (found,) = await problems(redis.url)
    assert found.startswith("has version 7.")
    assert "; install Redis 99.0 or Valkey, or newer" in found


async def test_a_user_without_permission_is_refused(redis: RedisServer) -> None:
    redis.run("ACL", "SETUSER", "weak", "on", ">secret", "~x*", "+@read")
    (found,) = await problems(f"redis://weak:secret@127.0.0.1:{redis.port}")
    assert found.startswith("forbids this user a command; ")


async def test_a_redis_cluster_is_refused(tmp_path: Path) -> None:
    with redis_server(tmp_path, cluster_enabled="yes") as server:
        (found,) = await problems(server.url)
    assert found.startswith("is a Redis Cluster, which is not supported; ")


async def test_a_password_is_needed(tmp_path: Path) -> None:
    with redis_server(tmp_path, requirepass="secret word") as server:
        (missing,) = await problems(server.url)
        (wrong,) = await problems(f"redis://:secret@127.0.0.1:{server.port}")
        assert await problems(f"redis://:secret%20word@127.0.0.1:{server.port}") == []
    assert missing.startswith("needs a password; ")
    assert wrong.startswith("refuses the user or the password; ")


@pytest.mark.parametrize("opens", [open_store, partial(open_chat_store, owner=lambda: "epoch")], ids=["calls", "chats"])
async def test_a_start_waits_for_a_redis_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, opens: Opens
) -> None:
    monkeypatch.setattr(checks, "START_SECONDS", 0.2)
    with redis_server(tmp_path) as server:
        server.pause()
        opening = asyncio.create_task(opens(StoreConfig(url=server.url), wait=StartWait(60)))
        async with asyncio.timeout(30):
            while "the start waits" not in caplog.text:  # noqa: ASYNC110 (there is no notification)
                await asyncio.sleep(0.01)
        monkeypatch.setattr(checks, "START_SECONDS", 30.0)
        server.resume()
        await (await opening).close()
    assert "the start goes on" in caplog.text


async def test_a_redis_that_stays_silent_is_refused_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "START_SECONDS", 0.1)
    with redis_server(tmp_path) as server:
        server.pause()
        (problem,) = await problems(server.url, StartWait(0.3))
        server.resume()
    assert problem.startswith("does not respond; start it, or correct the address; ")


async def test_a_start_waits_for_no_redis_that_refuses_it(tmp_path: Path) -> None:
    with redis_server(tmp_path, requirepass="secret word") as server:
        for url in (f"redis://:secret@127.0.0.1:{server.port}", f"redis://127.0.0.1:{free_port()}"):
            wait = StartWait(3600)
            async with asyncio.timeout(30):
                assert len(await problems(url, wait)) == 1


async def test_a_redis_with_tls_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    pair, port = authority.issue("redis"), free_port()
    tls = {
        "tls_cert_file": str(pair.certificate),
        "tls_key_file": str(pair.key),
        "tls_ca_cert_file": str(authority.file),
    }
    with redis_server(tmp_path, tls_port=str(port), sentinel=False, tls_auth_clients="no", **tls):
        (plain,) = await problems(f"redis://127.0.0.1:{port}")
        (untrusted,) = await problems(f"rediss://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert await problems(f"rediss://127.0.0.1:{port}") == []
    assert plain.startswith("closes the connection; if it speaks TLS only, write rediss://")
    assert untrusted.startswith("has a certificate that is not trusted; ")
