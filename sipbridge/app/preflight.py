"""What can be known, before anything is opened, about whether a bridge would run by a configuration on this machine.

`check`, the start and each reload read the file by the one function here, so they refuse the same files with the same
words.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from sipbridge.config import Config, PromptAgentConfig, all_projects, dotted, load_config, unsupported
from sipbridge.connection_errors import explain_listen_error
from sipbridge.errors import ConfigError, StartupError
from sipbridge.wav import read_wav

# Not EADDRINUSE, which the start finds out: the running bridge has its own addresses.
_CANNOT_LISTEN = (errno.EADDRNOTAVAIL, errno.EACCES)


def read_config(file: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration file and judge whether a bridge would run by it here.

    Raises `ConfigError` with every fault, one line each: `FILE:LINE: key.path: what is wrong; what would be right`.
    """
    config = load_config(file, environ)
    problems = list(find_problems(config))
    if problems:
        raise ConfigError([f"{_place(file, config, problem)}: {problem}" for problem in problems])
    return config


def find_problems(config: Config) -> Iterator[str]:
    """Find what would keep a bridge from running, as `key.path: what is wrong; what would be right`. Opens nothing."""
    yield from unsupported(config)
    yield from _too_many_calls(config)
    yield from _recordings(config)
    yield from _folders(config)
    yield from _addresses(config)


def _place(file: Path, config: Config, problem: str) -> str:
    line = config.remarks.line_of(problem)
    return f"{file}:{line}" if line else str(file)


def _too_many_calls(config: Config) -> Iterator[str]:
    try:
        from sipbridge.sip.endpoint import built_max_calls  # noqa: PLC0415 (a file can be checked without pjsua2)
    except ModuleNotFoundError:
        return
    most = built_max_calls()
    if config.sip.max_calls > most:
        yield (
            f"sip.max_calls: is over what this build of PJSIP carries; write at most {most}, or raise PJSUA_MAX_CALLS "
            "in sipbridge/sip/native/config_site.h and build again"
        )


def _recordings(config: Config) -> Iterator[str]:
    for key, project in all_projects(config):
        agent = project.agent
        if isinstance(agent, PromptAgentConfig) and agent.audio is not None:
            try:
                read_wav(agent.audio)
            except StartupError as error:
                yield f"{dotted(key.path)}.agent.audio: {error}"


def _folders(config: Config) -> Iterator[str]:
    database = config.store.sqlite_path
    if database is None:
        return
    for key, path in (("store.url", database), ("store.journal", config.store.journal_path)):
        folder = path.parent
        if not folder.is_dir():
            yield f"{key}: the folder {folder} does not exist; make it, for the bridge's user to write to"
        elif path.exists() and not path.is_file():
            yield f"{key}: {path} is not a file; name another"
        elif not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
            yield f"{key}: {path} cannot be written by this user; give its folder to the bridge's user"


class _Address(NamedTuple):
    key: str
    transport: Literal["tcp", "udp"]
    host: str
    port: int


def _addresses(config: Config) -> Iterator[str]:
    listening = [
        _Address(f"sip.listen[{position}]", "udp" if url.transport == "udp" else "tcp", url.host, url.port)
        for position, url in enumerate(config.sip.listen)
    ]
    listening.append(_Address("http.listen", "tcp", config.http.listen.host, config.http.listen.port))
    if admin := config.http.admin.listen:
        listening.append(_Address("http.admin.listen", "tcp", admin.host, admin.port))
    for address in listening:
        if (why := _cannot_listen(address)) is not None:
            yield f"{address.key}: {why}"
    for one, other in itertools.combinations(listening, 2):
        if _collide(one, other):
            yield f"{other.key}: has the port of {one.key}; give it another"


def _cannot_listen(address: _Address) -> str | None:
    kind = socket.SOCK_STREAM if address.transport == "tcp" else socket.SOCK_DGRAM
    try:
        found = socket.getaddrinfo(address.host, address.port, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return "has a host that cannot be resolved; name an address of this machine"
    family, _, _, _, place = found[0]
    with socket.socket(family, kind) as probe:
        if address.transport == "tcp":  # as the listeners do: connections of an earlier run may linger
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            return explain_listen_error(error.errno) if error.errno in _CANNOT_LISTEN else None
    return None


def _collide(one: _Address, other: _Address) -> bool:
    if not one.port or (one.transport, one.port) != (other.transport, other.port):
        return False
    return one.host == other.host or bool({one.host, other.host} & {"0.0.0.0", "::"})  # noqa: S104 (compared, not opened)
