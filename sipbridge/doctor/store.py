"""The check of the store of records and chats."""

from __future__ import annotations

import shutil

from sipbridge.config import Config
from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import ConfigError, StoreError
from sipbridge.store.redis.checks import check_and_take_term, split_brain_risk
from sipbridge.store.redis.server import Server

from .finding import Finding, fault, ok, warning

_SMALL_DISK_BYTES = 10**9


async def check_store(config: Config) -> Finding:
    """Check the disk of a database, or Redis as the start checks it."""
    path = config.store.sqlite_path
    if path is not None:  # the check of the file has found that it can be written
        free = shutil.disk_usage(path.parent).free
        text = f"{free / 10**9:.1f} GB are free for {path}"
        return ok("store", text) if free >= _SMALL_DISK_BYTES else warning("store", f"only {text}; free some")
    url = RedisUrl.parse(config.store.url)
    server = Server(url)
    try:
        await check_and_take_term(server, url)
        (replication,) = await server.read([("INFO", "replication")])
    except ConfigError as error:
        return fault("store", "; ".join(error.problems))
    except StoreError as error:
        return fault("store", str(error))
    finally:
        await server.close()
    risk = split_brain_risk(replication)
    return warning("store", risk) if risk else ok("store", "Redis responds, and can be used")
