"""The checks, before anything is opened, that a bridge can run with a configuration on this machine.

`check`, the start and each reload read the file with the one function here, so they refuse the same files with the same
words. The exception is what a running bridge has open, and opens again only at its next start: a reload warns of that.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sipbridge import file_descriptors
from sipbridge.config import (
    Config,
    descriptors_of_chats,
    descriptors_per_call,
    dotted,
    find_warnings,
    load_config,
    write_problem,
)
from sipbridge.connection_errors import explain_listen_error
from sipbridge.errors import ConfigError, StartupError
from sipbridge.telemetry import level_from
from sipbridge.telemetry.traces import extra_is_installed
from sipbridge.wav import read_wav

# Without EADDRINUSE, which the start finds: a running bridge has its own addresses.
_CANNOT_LISTEN = (errno.EADDRNOTAVAIL, errno.EACCES)
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared, not opened)


def read_config(file: Path, environ: Mapping[str, str] = os.environ, *, running: Config | None = None) -> Config:
    """Read the configuration file and check that a bridge can run with it on this machine.

    `running` is for a reload: the check is that the bridge which has started with that one can go on with this one.
    Raises `ConfigError` with every problem, one line each: `FILE:LINE: key.path: what is wrong; what would be right`.
    """
    config = load_config(file, environ)
    problems = list(find_problems(config, environ, running=running))
    if problems:
        raise ConfigError([f"{place(file, config, problem)}: {problem}" for problem in problems])
    return config


def find_problems(config: Config, environ: Mapping[str, str], *, running: Config | None = None) -> Iterator[str]:
    """Find what prevents a bridge from running, as `key.path: what is wrong; what would be right`. Opens nothing."""
    yield from _log_level(environ)
    yield from _too_many_calls(config)
    yield from _too_few_descriptors(config)
    yield from _recordings(config)
    yield from _traces(config)
    yield from (problem for problem, is_open in _opening(config, running) if not is_open)


def find_all_warnings(config: Config, *, running: Config | None = None) -> list[str]:
    """Return what works but is probably not intended, in the file or on this machine."""
    shortage = _shortage_of_descriptors(config)
    found = _opening(config, running) if running else ()
    later = [f"{problem}, before the next start" for problem, is_open in found if is_open]
    return [*([shortage] if shortage else []), *later, *find_warnings(config)]


def place(file: Path, config: Config, problem: str) -> str:
    """Return `FILE:LINE` of a problem or a warning, or `FILE` if its key is not in the file."""
    line = config.remarks.line_of(problem)
    return f"{file}:{line}" if line else str(file)


def _opening(config: Config, running: Config | None) -> Iterator[tuple[str, bool]]:
    """Find what cannot be opened, with true for what the bridge with the configuration `running` has open already.

    An outage of DNS, or an address that has moved to another machine, must not block a reload, which opens none of it.
    """
    opened = _opened(running) if running else set()
    for problem, needed in (*_store_files(config), *_addresses(config)):
        yield problem, needed <= opened
    for problem in _public_address(config):
        yield problem, running is not None


def _opened(config: Config) -> set[object]:
    """Return the addresses and files that a start with this configuration opens."""
    http, store = config.http, config.store
    return {*config.sip.listen, http.listen, http.admin.listen, *store.database_files, store.journal_path}


def _log_level(environ: Mapping[str, str]) -> Iterator[str]:
    try:
        level_from(environ)
    except StartupError as error:
        yield str(error)


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


def _too_few_descriptors(config: Config) -> Iterator[str]:
    try:
        _shortage_of_descriptors(config)
    except StartupError as error:
        yield str(error)


def _shortage_of_descriptors(config: Config) -> str | None:
    return file_descriptors.shortage(config.sip.max_calls, descriptors_per_call(config), descriptors_of_chats(config))


def _recordings(config: Config) -> Iterator[str]:
    for key, project in config.voice_projects():
        for path, recording in project.recordings.items():
            try:
                read_wav(recording.path)
            except StartupError as error:
                yield f"{dotted((*key.path, *path))}: {error}"


def _store_files(config: Config) -> Iterator[tuple[str, set[object]]]:
    """Find the files that cannot be written, with all files of the key."""
    store = config.store
    for key, files in (("store.url", store.database_files), ("store.journal", (store.journal_path,))):
        problem = next(filter(None, map(write_problem, files)), None)
        if problem is not None:
            yield f"{key}: {problem}", {*files}


def _traces(config: Config) -> Iterator[str]:
    if config.telemetry.traces and not extra_is_installed():
        yield (
            "telemetry.otlp_endpoint: needs packages that are not installed; install sipbridge[tracing], "
            "or set the release up with --tracing"
        )


def _public_address(config: Config) -> Iterator[str]:
    host = config.sip.public_address
    if host is not None and not _resolve(host, 0, socket.SOCK_DGRAM, socket.AF_INET):
        yield "sip.public_address: has no IPv4 address in DNS; write the address, or a name that has one"


_Resolved = tuple[
    socket.AddressFamily, tuple[Any, ...]
]  # the family, and a socket address whose first item is the host


class _Address(NamedTuple):
    """An address to listen on: its key and value, and the socket addresses that its host resolves to."""

    key: str
    value: str
    kind: socket.SocketKind
    port: int
    resolved: list[_Resolved]


def _addresses(config: Config) -> Iterator[tuple[str, set[object]]]:
    """Find the addresses that cannot be listened on, with the one or two that each problem is about."""
    listening = list(_listening(config))
    for address in listening:
        if (why := _cannot_listen(address)) is not None:
            yield f"{address.key}: {why}", {address.value}
    for one, other in itertools.combinations(listening, 2):
        if _collide(one, other):
            yield f"{other.key}: has the port of {one.key}; give it another", {one.value, other.value}


def _listening(config: Config) -> Iterator[_Address]:
    for position, url in enumerate(config.sip.listen):
        kind = socket.SOCK_DGRAM if url.transport == "udp" else socket.SOCK_STREAM
        # PJSIP is built for IPv4, and uses the first address of a name.
        resolved = _resolve(url.host, url.port, kind, socket.AF_INET)[:1]
        yield _Address(f"sip.listen[{position}]", url, kind, url.port, resolved)
    for key, http in (("http.listen", config.http.listen), ("http.admin.listen", config.http.admin.listen)):
        if http is not None:
            yield _Address(key, http, socket.SOCK_STREAM, http.port, _resolve(http.host, http.port, socket.SOCK_STREAM))


def _resolve(
    host: str, port: int, kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[_Resolved]:
    try:
        found = socket.getaddrinfo(host, port, family=family, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]


def _cannot_listen(address: _Address) -> str | None:
    if not address.resolved:
        return "has a host that cannot be resolved; name an address of this machine"
    for family, resolved in address.resolved:
        try:
            probe = socket.socket(family, address.kind)
        except OSError:  # a machine without IPv6: the listener skips the address too
            continue
        with probe:
            if address.kind == socket.SOCK_STREAM:  # as the listeners do, for connections of an earlier run
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(resolved)
            except OSError as error:
                if error.errno in _CANNOT_LISTEN:
                    return explain_listen_error(error.errno)
    return None


def _collide(one: _Address, other: _Address) -> bool:
    """True if the two cannot both be opened. A wildcard covers every address of its family."""
    if not one.port or (one.kind, one.port) != (other.kind, other.port):
        return False
    return any(
        family == other_family and (host == other_host or host in _WILDCARDS or other_host in _WILDCARDS)
        for family, (host, *_) in one.resolved
        for other_family, (other_host, *_) in other.resolved
    )
