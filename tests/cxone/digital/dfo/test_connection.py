from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from sipbridge.cxone.digital.dfo import connection as module
from sipbridge.cxone.digital.dfo.connection import Connection, GatewayError, GatewayLost, Opener
from sipbridge.cxone.digital.dfo.frames import Push, Reply
from sipbridge.dns import Resolver
from tests.http.server import serving

TEXT, CONTINUATION = WSMsgType.TEXT, WSMsgType.CONTINUATION


class _Peer(WSListener):
    """The gateway's side of a connection. `received` are the texts; `on_text` responds to each."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.transport: WSTransport | None = None
        self.query = b""
        self.on_text: Callable[[WSTransport, bytes], None] = lambda _transport, _text: None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is TEXT:
            self.received.append(frame.get_payload_as_bytes())
            self.on_text(transport, self.received[-1])


class Gateway:
    """A gateway on loopback, the one connection to it, and what that reported."""

    def __init__(self, url: str, resolver: Resolver, peer: _Peer) -> None:
        self.peer = peer
        self.pushes: list[Push] = []
        self.faults: list[str] = []
        self.connection = Connection(self.pushes.append, lambda word, _text: self.faults.append(word))
        self._opener = Opener(url, resolver)

    async def open(self) -> Connection:
        await self._opener.open("brandId=1", self.connection)
        return self.connection

    def send(self, *parts: bytes) -> None:
        """Send a text, in several frames if there are several parts."""
        assert self.peer.transport is not None
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            self.peer.transport.send(CONTINUATION if number else TEXT, part, fin=last)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 (nothing signals these conditions)
                await asyncio.sleep(0.001)


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = Resolver(time.monotonic)
    yield resolver
    await resolver.close()


@pytest.fixture
async def gateway(resolver: Resolver) -> AsyncIterator[Gateway]:
    peer = _Peer()

    def accept(request: WSUpgradeRequest) -> _Peer:
        peer.query = request.path
        return peer

    server = await ws_create_server(accept, "127.0.0.1", 0)
    made = Gateway(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", resolver, peer)
    yield made
    made.connection.close()
    server.close()


async def test_reply_goes_to_its_request_whatever_the_order(gateway: Gateway) -> None:
    connection = await gateway.open()
    assert gateway.peer.query == b"/?brandId=1"
    first = asyncio.create_task(connection.request(("e1", b"one"), 5))
    second = asyncio.create_task(connection.request(("e2", b"two"), 5))
    await gateway.until(lambda: len(gateway.peer.received) == 2)
    gateway.send(b'{"eventId":"e2","postback":{"eventType":"Two","data":{}}}')
    gateway.send(b'{"eventId":"e1","postback":{"eventType":"One","data":{}}}')
    assert [await first, await second] == [Reply("e1", "One", {}), Reply("e2", "Two", {})]


async def test_error_goes_to_its_request_and_others_are_faults(gateway: Gateway) -> None:
    connection = await gateway.open()
    request = asyncio.create_task(connection.request(("e1", b"one"), 5))
    await gateway.until(lambda: gateway.peer.received)
    gateway.send(b'{"error":{"errorCode":"Other"}}')
    gateway.send(b'{"eventId":"e1","error":{"errorCode":"Bad"}}')
    with pytest.raises(GatewayError) as caught:
        await request
    assert caught.value.code == "Bad"
    assert gateway.faults == ["gateway_error"]


async def test_request_without_a_reply_in_time_is_lost(gateway: Gateway) -> None:
    connection = await gateway.open()
    with pytest.raises(GatewayLost):
        await connection.request(("e1", b"one"), 0.02)
    gateway.send(b'{"eventId":"e1","postback":{}}')  # too late
    gateway.send(b"no json")
    await gateway.until(lambda: gateway.faults == ["bad_frame"])


async def test_paused_connection_reads_nothing_and_does_not_count_as_silent(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 1.0)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.1)
    connection = await gateway.open()
    connection.pause(on=True)
    gateway.send(b'{"eventId":"1","eventType":"CaseCreated","data":{}}')
    await gateway.until(lambda: b'{"action":"heartbeat"}' in gateway.peer.received)
    assert gateway.pushes == []
    assert not connection.ended.done()
    connection.pause(on=False)
    await gateway.until(lambda: len(gateway.pushes) == 1)


async def test_request_is_lost_with_its_connection(gateway: Gateway) -> None:
    connection = await gateway.open()
    request = asyncio.create_task(connection.request(("e1", b"one"), 5))
    await gateway.until(lambda: gateway.peer.received)
    assert gateway.peer.transport is not None
    gateway.peer.transport.disconnect(graceful=False)
    with pytest.raises(GatewayLost):
        await request
    await connection.ended
    with pytest.raises(GatewayLost):
        connection.send(b"more")


async def test_close_of_the_gateway_ends_the_connection(gateway: Gateway) -> None:
    connection = await gateway.open()
    assert gateway.peer.transport is not None
    gateway.peer.transport.send_close()
    async with asyncio.timeout(5):
        await connection.ended


async def test_frame_in_pieces_is_assembled(gateway: Gateway) -> None:
    await gateway.open()
    gateway.send(b'{"eventType":', b'"CaseCreated",', b'"data":{"case":{"id":"7"}}}')
    gateway.send(b'{"eventType":"X","data":{}}')
    await gateway.until(lambda: len(gateway.pushes) == 2)
    assert [push.event_type for push in gateway.pushes] == ["CaseCreated", "X"]


async def test_endless_frame_ends_the_connection(gateway: Gateway) -> None:
    connection = await gateway.open()
    piece = bytes(300_000)
    gateway.send(piece, piece, piece, piece)
    async with asyncio.timeout(5):
        await connection.ended
    assert gateway.faults == ["frame_too_large"]


async def test_heartbeat_keeps_the_connection(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    gateway.peer.on_text = lambda transport, _text: transport.send(TEXT, b'"pong"')
    connection = await gateway.open()
    await gateway.until(lambda: len(gateway.peer.received) >= 20)
    assert set(gateway.peer.received) == {b'{"action":"heartbeat"}'}
    assert not connection.ended.done()
    assert gateway.faults == []


async def test_silent_gateway_ends_the_connection(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    connection = await gateway.open()
    async with asyncio.timeout(5):
        await connection.ended
    assert gateway.faults == ["silent"]


async def test_closed_connection_is_never_opened_and_may_be_closed_again(gateway: Gateway) -> None:
    gateway.connection.close()
    await gateway.open()
    gateway.connection.close()
    assert gateway.connection.ended.done()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret",
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"secret nonsense\r\n\r\n",
    ],
)
async def test_refused_upgrade_is_lost_and_quotes_nothing(resolver: Resolver, response: bytes) -> None:
    async with serving(response) as server:
        connection = Connection(lambda _push: None, lambda _word, _text: None)
        with pytest.raises(GatewayLost) as caught:
            await Opener(server.url.replace("http", "ws"), resolver).open("a=1", connection)
        assert "secret" not in str(caught.value)
        assert connection.ended.done()


async def test_port_without_a_listener_is_lost(resolver: Resolver, refusing_address: str) -> None:
    connection = Connection(lambda _push: None, lambda _word, _text: None)
    with pytest.raises(GatewayLost):
        await Opener(f"ws://{refusing_address}", resolver).open("a=1", connection)


async def test_nothing_is_sent_while_another_node_may_have_the_chat(gateway: Gateway) -> None:
    may_send = True
    gateway.connection = Connection(gateway.pushes.append, lambda _word, _text: None, lambda: may_send)
    connection = await gateway.open()
    connection.send(b"one")
    may_send = False
    with pytest.raises(GatewayLost, match="another node"):
        connection.send(b"two")
    with pytest.raises(GatewayLost, match="another node"):
        await connection.request(("e1", b"three"), 5)
    may_send = True
    connection.send(b"four")
    await gateway.until(lambda: len(gateway.peer.received) == 2)
    assert gateway.peer.received == [b"one", b"four"]
