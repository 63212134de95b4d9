"""Opens the stores and the journal that the configuration names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sipbridge.calls.ports.store import RecordStore, Unfinished
from sipbridge.chats.ports import ChatStore
from sipbridge.config import StoreConfig
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import StartupError
from sipbridge.store.calls.has_webhook import HasWebhook, has_none
from sipbridge.store.calls.settling import OnSettled
from sipbridge.store.calls.store import SqliteStore
from sipbridge.store.chats.store import SqliteChatStore
from sipbridge.store.journal.journal import FileJournal
from sipbridge.store.start_wait import StartWait


def open_journal(config: StoreConfig) -> tuple[FileJournal, list[Unfinished]]:
    """Open the journal; return it and the calls that an earlier run left unfinished. Raises `StartupError`."""
    journal = FileJournal(config.journal_path)
    return journal, journal.unfinished()


async def open_store(
    config: StoreConfig,
    node: str | None = None,
    *,
    on_settled: OnSettled | None = None,
    has_webhook: HasWebhook = has_none,
    wait: StartWait | None = None,
) -> RecordStore:
    """Open the store of `store.url`. `node` is the id of this bridge; for the callbacks see `SqliteStore`.

    A start may `wait` for Redis, while it does not respond.
    Raises `StartupError` or `ConfigError` if it cannot be used.
    """
    retention = timedelta(hours=config.retention_hours)
    if (path := config.sqlite_path) is not None:
        return SqliteStore(path, retention=retention, on_settled=on_settled, has_webhook=has_webhook)
    from sipbridge.store.redis.calls import RedisStore  # noqa: PLC0415 (7 MB, which SQLite does without)

    url = RedisUrl.parse(config.url)
    return await RedisStore.open(
        url, node, retention=retention, on_settled=on_settled, has_webhook=has_webhook, wait=wait
    )


async def open_chat_store(
    config: StoreConfig, owner: Callable[[], str] | None, wait: StartWait | None = None
) -> ChatStore:
    """Open the store of chats, beside that of records; in Redis it is that of the node whose epoch `owner` returns.

    Raises `StartupError` or `ConfigError` if it cannot be used.
    """
    retention = timedelta(hours=config.retention_hours)
    if (path := config.chats_path) is not None:
        return SqliteChatStore(path, retention=retention)
    if owner is None:
        raise StartupError("node.id: is missing; a store in Redis needs a name of this bridge")
    from sipbridge.store.redis.chats import RedisChatStore  # noqa: PLC0415 (as in open_store)

    return await RedisChatStore.open(RedisUrl.parse(config.url), owner, retention=retention, wait=wait)
