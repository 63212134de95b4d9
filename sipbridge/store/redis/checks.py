"""The checks of Redis at the start: what would harm calls later is an error now, with its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from sipbridge.config.redis_url import RedisUrl
from sipbridge.errors import ConfigError, StoreError
from sipbridge.store.redis import keys, scripts
from sipbridge.store.redis.server import Server
from sipbridge.store.start_wait import StartWait

START_SECONDS = 5.0
OLDEST = (7, 0)

_CLUSTER = "is a Redis Cluster, which is not supported; use one primary with replicas and Sentinels"
_REPLICA = "is a replica; give the address of the primary, or write redis+sentinel://"

# What Redis, the network or TLS says (regular expressions), and the remedy.
_REMEDIES = (
    (r"NOAUTH|Authentication required|already authenticated", "needs a password; write redis://USER:PASSWORD@HOST"),
    (r"WRONGPASS|invalid (username-)?password", "refuses the user or the password; correct them"),
    (r"without any password configured", "has no password; remove the one in the URL, or set requirepass in Redis"),
    (r"WRONG_VERSION_NUMBER|record layer", "does not speak TLS on this port; write redis://, or the port for TLS"),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "has a certificate that is not trusted; install its authority, or set SSL_CERT_FILE",
    ),
    (
        r"closed by server|Connection reset|reset by peer",
        "closes the connection; if it speaks TLS only, write rediss://",
    ),
    (r"refused|Connect call failed", "refuses connections; start it, or correct the address"),
    (
        r"has not responded",
        "does not respond; start it, or correct the address; rediss:// needs a port that speaks TLS",
    ),
    (r"No master found", "has Sentinels that do not respond, or do not know this service; correct the addresses or it"),
    (r"unknown command 'SENTINEL'", "is not a Sentinel; give the addresses of Sentinels, or write redis://"),
    (r"Name or service not known|No address", "has a host that cannot be resolved; correct it"),
    (r"CLUSTERDOWN|ClusterDown|Moved", _CLUSTER),
    (r"MISCONF", "refuses writes since it cannot save to its disk; free space there"),
    (r"NOREPLICAS", "has fewer replicas than min-replicas-to-write; start them"),
    (r"OOM|used memory", "has no memory left; raise maxmemory, or remove other data"),
    (r"READONLY|read only replica", _REPLICA),
    (r"NOPERM|no permissions", "forbids this user a command; allow it +@all on the keys sipbridge:*"),
    (r"LOADING", "is loading its data; start the bridge when it has finished"),
    (r"DB index is out of range", "does not have this database; write a smaller number, or raise databases in Redis"),
)


async def check_and_take_term(server: Server, url: RedisUrl, wait: StartWait | None = None) -> int:
    """Return a term that no node has had. Raises `ConfigError` with everything that prevents the use of Redis."""
    commands = [("INFO",), ("INCR", keys.TERMS), *scripts.LOAD]
    try:
        results = await (wait or StartWait()).until_it_responds(lambda: server.run(commands, seconds=START_SECONDS))
    except StoreError as error:
        raise _refusal(url, [_remedy(str(error))]) from error
    info, term, *_ = results
    problems = [_remedy(f"{type(each).__name__} {each}") for each in results if isinstance(each, RedisError)]
    if not isinstance(info, RedisError):
        problems += _unsuitable(info)
    if problems:
        raise _refusal(url, list(dict.fromkeys(problems)))
    return int(term)


def split_brain_risk(replication: Mapping[str, Any]) -> str | None:
    """Return why two primaries could both accept writes after a failover, with the remedy; None if they could not.

    `replication` is that section of INFO. It has `min_slaves_good_slaves` only if both settings are set
    (https://redis.io/docs/latest/commands/info/).
    """
    if not int(replication.get("connected_slaves", 0)) or "min_slaves_good_slaves" in replication:
        return None
    return (
        "Redis accepts writes without its replicas, so after a failover two nodes may signal the same contact; "
        "set min-replicas-to-write 1 and min-replicas-max-lag 10 in all of them"
    )


def _unsuitable(info: Mapping[str, Any]) -> Iterator[str]:
    oldest = ".".join(map(str, OLDEST))
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        yield f"has version {version}; install Redis {oldest} or Valkey, or newer"
    if info.get("redis_mode") == "cluster":
        yield _CLUSTER
    if info.get("role") == "slave":
        yield _REPLICA
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        yield f"removes data when its memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction"


def _remedy(error: str) -> str:
    found = next((text for pattern, text in _REMEDIES if re.search(pattern, error)), None)
    return found or f"cannot be used: {error.removeprefix('Redis: ')}; repair it, or name another"


def _refusal(url: RedisUrl, problems: list[str]) -> ConfigError:
    return ConfigError([f"store.url: {url} {problem}" for problem in problems])
