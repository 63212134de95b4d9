"""The program: its start, its end, and its errors."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from sipbridge.simulators import echo_bot

from .peers import KEY


async def test_the_program_serves_the_page_until_sigterm(url: str) -> None:
    async with program(url) as running:
        assert running.stdout is not None
        line = (await running.stdout.readline()).decode()
        async with ClientSession() as http, http.get(line.split()[3]) as response:
            assert "<title>Echo bot</title>" in await response.text()
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0


async def test_a_wrong_key_is_one_line_of_error(url: str) -> None:
    async with program(url, key="another") as running:
        _, error = await running.communicate()
    text = "sipbridge bot: the bridge responded with 401, the key in the header x-api-key is not valid\n"
    assert (running.returncode, error.decode()) == (1, text)


def test_a_bridge_that_does_not_respond_is_one_line_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_bot, "START_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for wrong, message in ((url, "no response from the bridge"), ("127.0.0.1:1", "URL should be absolute")):
            app = echo_bot.make_app(wrong, KEY, "acme", "chat")
            with pytest.raises(SystemExit, match=f"^sipbridge bot: {message}"):
                echo_bot.main("127.0.0.1", 0, app)


@asynccontextmanager
async def program(url: str, key: str = KEY) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "sipbridge", "bot", "--listen", "127.0.0.1:0", "--client", "acme"]
    command += ["--project", "chat", "--key", key, "--bridge", url]
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()
