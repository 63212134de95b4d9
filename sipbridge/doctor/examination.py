"""All checks, in the order in which one builds on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from sipbridge.app.preflight import place, read_config
from sipbridge.config import Config, find_warnings
from sipbridge.dns import Resolver
from sipbridge.errors import ConfigError
from sipbridge.http import HttpClient

from .certificates import check_certificates
from .finding import Finding, fault, ok, warning
from .machine import check_machine
from .network import check_firewall, check_ports
from .peers import check_agent, check_cxone, check_names
from .store import check_store


async def examine(file: Path, show: Callable[[str], None]) -> AsyncIterator[Finding]:
    """Run all checks of a configuration; `show` gets the progress. After a fault of the file, no other check runs."""
    try:
        config = read_config(file)
    except ConfigError as error:
        for problem in error.problems:
            yield fault("configuration", problem)
        return
    yield ok("configuration", f"{file} is valid")
    for text in find_warnings(config):
        yield warning("configuration", f"{place(file, config, text)}: {text}")
    show("checking this machine")
    for finding in check_machine(config):
        yield finding
    show("checking the store")
    yield await check_store(config)
    show("checking ports")
    async for finding in check_ports(config):
        yield finding
    for finding in check_firewall(config):
        yield finding
    async for finding in _check_outside(config, show):
        yield finding


async def _check_outside(config: Config, show: Callable[[str], None]) -> AsyncIterator[Finding]:
    resolver = Resolver(asyncio.get_running_loop().time)
    try:
        show("looking up names")
        async for finding in check_names(config, resolver):
            yield finding
        show("checking certificates")
        async for finding in check_certificates(config, resolver):
            yield finding
        async with HttpClient(resolver) as http:
            show("asking CXone for tokens")
            async for finding in _all(check_cxone(*each, http) for each in config.clients.items()):
                yield finding
        show("calling agents")
        async for finding in _all(check_agent(*each, config, resolver) for each in config.voice_projects()):
            yield finding
    finally:
        await resolver.close()


async def _all(checks: Iterable[AsyncIterator[Finding]]) -> AsyncIterator[Finding]:
    """Run checks at once, as each may wait for a peer, and yield their findings in order."""
    tasks = [asyncio.create_task(_list(check)) for check in checks]
    try:
        for task in tasks:
            for finding in await task:
                yield finding
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _list(check: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in check]
