from __future__ import annotations

import asyncio
import base64
import re
import signal
import socket
import sys

import aiohttp
import pytest

from sipbridge.simulators.cxone import main
from sipbridge.simulators.cxone.server import running_simulator

RUN = "import sys; from sipbridge.simulators.cxone import main; sys.exit(main('127.0.0.1', 0))"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_program_prints_its_url_and_stops_on_a_signal(number: signal.Signals) -> None:
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, stdout=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode()
    found = re.fullmatch(r"CXone simulator ready: issuer (http://127\.0\.0\.1:\d+), client_id demo-client, .*\n", line)
    assert found, line
    for credential in ("demo-secret", "demo-key", "demo-key-secret", "4599999"):
        assert credential in line
    digital = (await program.stdout.readline()).decode()
    for word in (
        f"rest_url and oauth_url {found[1]},",
        "gateway_url ws://",
        "brand_id 1234,",
        "(livechat)",
        "/simulator/desk",
    ):
        assert word in digital
    async with aiohttp.ClientSession() as http, http.get(f"{found[1]}/.well-known/openid-configuration") as response:
        assert (await response.json())["issuer"] == found[1]
    program.send_signal(number)
    assert await program.wait() == 0
    assert await program.stdout.read() == b""


async def test_each_token_signal_and_rejected_request_is_announced() -> None:
    said: list[str] = []
    async with running_simulator(announce=said.append) as url, aiohttp.ClientSession() as http:
        form = {"grant_type": "password", "username": "demo-key", "password": "demo-key-secret"}
        demo = {"Authorization": f"Basic {base64.b64encode(b'demo-client:demo-secret').decode()}"}
        async with http.post(f"{url}/auth/token", data=form, headers=demo) as response:
            token = (await response.json())["access_token"]
        signal_url = f"{url}/inContactAPI/services/v30.0/interactions/4711000123/signal"
        bearer = {"Authorization": f"Bearer {token}"}
        await http.post(signal_url, json={"p1": "sales", "p2": "line\nbreak"}, headers=bearer)
        await http.post(signal_url, json={"p10": "x"}, headers=bearer)
    assert said[0] == "token for access key demo-key, for 3600 s"
    assert said[1] == 'Signal for contact 4711000123: p1="sales" p2="line\\nbreak"'
    assert said[2].startswith("signal rejected with 400: ")
    assert token not in "".join(said)


def test_an_address_in_use_is_one_line_of_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert main("127.0.0.1", port) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert printed.err.count("\n") == 1
