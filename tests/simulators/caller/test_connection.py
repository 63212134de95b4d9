from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from sipbridge.simulators.caller.connection import Connection, connect
from sipbridge.simulators.caller.messages import SipMessage
from sipbridge.simulators.caller.options import ask_options
from tests.harness.ports import free_port

FIRST = "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
SECOND = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nContent-Length: 6\r\n\r\nv=0\r\n\n"
Open = Callable[[bytes], Awaitable[Connection]]


@pytest.fixture
async def sent() -> AsyncIterator[Open]:
    """Open a TCP connection to a server that sends these bytes and closes it."""
    servers: list[asyncio.Server] = []

    async def opened(data: bytes) -> Connection:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return await connect("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])

    yield opened
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_each_message_ends_after_its_length(sent: Open) -> None:
    connection = await sent((FIRST + SECOND).encode())
    assert [await connection.receive(), await connection.receive()] == [FIRST, SECOND]
    connection.close()


async def test_pings_between_messages_are_skipped(sent: Open) -> None:
    connection = await sent(("\r\n\r\n" + FIRST + "\r\n" + SECOND).encode())
    assert [await connection.receive(), await connection.receive()] == [FIRST, SECOND]
    connection.close()


async def test_a_closed_connection_is_an_error(sent: Open) -> None:
    connection = await sent(FIRST[:20].encode())
    with pytest.raises(ConnectionResetError, match="closed the connection"):
        await connection.receive()
    connection.close()


async def test_a_program_that_sends_no_sip_is_an_error(sent: Open) -> None:
    connection = await sent(b"x" * 300_000)
    with pytest.raises(ConnectionResetError, match="sends no SIP"):
        await connection.receive()
    connection.close()


@pytest.mark.parametrize(
    ("line", "status"), [("SIP/2.0 486 Busy Here", 486), ("SIP/2.0 x", 0), ("INVITE sip:a SIP/2.0", 0)]
)
def test_the_status_is_that_of_a_response(line: str, status: int) -> None:
    assert SipMessage(datetime.now(UTC), sent=False, text=line).status == status


async def test_an_unused_udp_port_refuses() -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.wait_for(ask_options("udp", "127.0.0.1", free_port()), 5)


async def test_options_over_udp_are_sent_again_until_the_final_response() -> None:
    requests: list[bytes] = []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self._transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            requests.append(data)
            if len(requests) > 1:
                head = data.decode().split("\r\n", 1)[1]
                for status in ("100 Trying", "200 OK"):
                    self._transport.sendto(f"SIP/2.0 {status}\r\n{head}".encode(), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    response = await asyncio.wait_for(ask_options("udp", "127.0.0.1", port, name="bridge.test"), 5)
    transport.close()
    assert response.status == 200
    assert requests[0] == requests[1]
    assert requests[0].startswith(f"OPTIONS sip:bridge.test:{port};transport=udp SIP/2.0\r\n".encode())
