"""Debian's Redis on a free port, which a test may pause, kill and start again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.harness.ports import free_port

from .program import Program, ProgramError

_ATTEMPTS = 5


class RedisServer:
    """A Redis without a disk, or a Sentinel, with options of its configuration file. It runs from `start`."""

    def __init__(self, folder: Path, options: Mapping[str, str], *, sentinel: bool = False) -> None:
        self.port = free_port()
        self._sentinel = sentinel
        self._folder = folder
        self._options = options
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, on its port; the first time on another if that one has been taken meanwhile."""
        first = self._program is None
        for _ in range(_ATTEMPTS if first else 1):
            self._program = Program(self._command(), self._folder / "redis.log")
            try:
                self._program.line_with("Sentinel ID is" if self._sentinel else "Ready to accept connections")
            except ProgramError:
                if not first or self._program.is_running:
                    raise
                self.port = free_port()
            else:
                return
        raise RuntimeError("Redis found no free port")

    def pause(self) -> None:
        """Stop its process: it accepts connections and does not respond."""
        os.kill(self._running.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._running.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it. Its data is lost."""
        self._running.kill()

    def run(self, *command: str | int) -> Any:  # noqa: ANN401 (any response)
        """Run a command in it."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*command)

    def run_all(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Run commands in it, in one round trip."""
        with redis.Redis(port=self.port, decode_responses=True) as client, client.pipeline(transaction=False) as batch:
            for command in commands:
                batch.execute_command(*command)
            return list(batch.execute())

    @property
    def _running(self) -> Program:
        if self._program is None:
            raise RuntimeError("Redis was not started")
        return self._program

    def info(self, section: str) -> Mapping[str, Any]:
        """Return what it says about itself (https://redis.io/docs/latest/commands/info/)."""
        with redis.Redis(port=self.port) as client:
            found: Mapping[str, Any] = client.info(section)
            return found

    def _command(self) -> list[str | Path]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), **self._options}
        if not self._sentinel:
            return ["redis-server", *_arguments({"save": "", **options})]
        file = self._folder / "sentinel.conf"  # a Sentinel writes into it
        file.touch()
        return ["redis-server", file, *_arguments(options), "--sentinel"]


def _arguments(options: Mapping[str, str]) -> list[str]:
    return [part for key, value in options.items() for part in (f"--{key}", value)]


@contextmanager
def redis_server(folder: Path, *, sentinel: bool = False, **options: str) -> Iterator[RedisServer]:
    """Run a Redis, with options like `maxmemory="1mb"`, or a Sentinel."""
    server = RedisServer(folder, {key.replace("_", "-"): value for key, value in options.items()}, sentinel=sentinel)
    server.start()
    try:
        yield server
    finally:
        server.kill()
