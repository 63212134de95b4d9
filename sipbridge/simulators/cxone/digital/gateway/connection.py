"""One socket of a client: its order of frames, its faults, and its end."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault, GatewayFaults, edit
from sipbridge.simulators.cxone.digital.gateway.objects import Objects
from sipbridge.simulators.cxone.digital.gateway.pushes import Frame, a_push
from sipbridge.simulators.cxone.digital.gateway.settings import Settings
from sipbridge.simulators.cxone.digital.messages import Customer, new_id

_TRUNCATED_CHARACTERS = 20
_CLOSING_SECONDS = 5  # for the client to close a socket that we have closed


class GatewayParts(Protocol):
    """The parts of the gateway that a connection uses."""

    settings: Settings
    faults: GatewayFaults
    objects: Objects


class Connection:
    """A socket. Frames are queued and written by one task, so that sending never awaits."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        gateway: GatewayParts,
        channel_id: str,
        customer: Customer,
        *,
        is_authorized: bool,
    ) -> None:
        self.id = new_id()
        self.channel_id = channel_id
        self.customer = customer
        self.is_authorized = is_authorized
        self._socket = socket
        self._request = request
        self._gateway = gateway
        self._settings = gateway.settings
        self._origin = str(request.url.origin())
        # None closes the connection without the closing handshake.
        self._queue: deque[tuple[bytes, WSMsgType] | None] = deque()
        self._wake = asyncio.Event()
        self._swapped: list[bytes] = []
        self._is_muted = False

    async def run(self, receive: Callable[[Connection, str | bytes], None], close_after: float | None) -> None:
        """Receive frames until either side closes the socket."""
        loop = asyncio.get_running_loop()
        self._received_at = self._opened_at = loop.time()
        self._lifetime = self._settings.connection_seconds if close_after is None else close_after
        timer = asyncio.create_task(self._close_in_time())
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                self._received_at = loop.time()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    receive(self, message.data)
        finally:
            for task in (timer, writer):
                task.cancel()

    def send(self, frame: Frame, kind: str, *, thread: str | None = None, delay_seconds: float = 0) -> None:
        """Send a frame, or what a fault makes of it."""
        if self._is_muted:
            return
        faults = self._gateway.faults
        fault = (
            faults.take("frame", kind=kind, channel=self.channel_id, customer=self.customer.id, thread=thread)
            if faults.queued
            else None
        )
        if fault is None:
            self.send_bytes(self._fit(frame, kind), delay_seconds)
        else:
            self._send_faulty(frame, kind, fault, delay_seconds)

    def send_pong(self) -> None:
        """Respond to a heartbeat."""
        fault = self._gateway.faults.take("frame", kind="pong", channel=self.channel_id, customer=self.customer.id)
        if fault is None or not fault.lose:
            self.send_bytes(b'"pong"')

    def mute(self) -> None:
        """Send nothing more."""
        self._is_muted = True

    def drop(self) -> None:
        """Close the connection at once, without the closing handshake."""
        self.mute()
        if self._request.transport is not None:
            self._request.transport.abort()

    def drop_when_sent(self) -> None:
        """Close the connection without the closing handshake when the queued frames have been sent."""
        self._queue.append(None)
        self._wake.set()
        self.mute()

    def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close the socket by the closing handshake; `run` ends when the client has closed it, too."""
        self._enqueue(struct.pack("!H", code), WSMsgType.CLOSE)
        self.mute()
        asyncio.get_running_loop().call_later(_CLOSING_SECONDS, self.drop)

    def _send_faulty(self, frame: Frame, kind: str, fault: GatewayFault, delay_seconds: float) -> None:
        if fault.lose:
            return
        frame = orjson.loads(orjson.dumps(frame))  # a copy, as messages share their content with the frame
        edit(frame, fault)
        if fault.truncate:
            _truncate(frame)
        data = self._fit(frame, kind, in_s3=fault.in_s3)
        if fault.raw is not None:
            data = fault.raw.encode()
        if fault.swap:
            self._swapped.append(data)
            return
        for _ in range(1 + fault.duplicates):
            self.send_bytes(data, delay_seconds + fault.latency_seconds)

    def _fit(self, frame: Frame, kind: str, *, in_s3: bool = False) -> bytes:
        """Return the frame as bytes; one that is too big is stored, and the bytes are those of EventInS3."""
        data = orjson.dumps(frame)
        if len(data) <= self._settings.max_frame_bytes and not in_s3:
            return data
        url = self._origin + self._gateway.objects.put(data, "application/json", "event.json")
        origin = {"eventObject": frame.get("eventObject"), "eventType": kind}
        return orjson.dumps(a_push("S3Object", "EventInS3", {"s3Object": {"url": url}, "originEvent": origin}))

    def send_bytes(self, data: bytes, delay_seconds: float = 0) -> None:
        """Send bytes as they are, before the frames that a fault swaps."""
        if delay_seconds:
            asyncio.get_running_loop().call_later(delay_seconds, self.send_bytes, data)
            return
        self._enqueue(data)
        for swapped in self._swapped:
            self._enqueue(swapped)
        self._swapped.clear()

    def _enqueue(self, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> None:
        self._queue.append((data, kind))
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                item = self._queue.popleft()
                if item is None:
                    if self._request.transport is not None:
                        self._request.transport.close()
                    return
                try:
                    await self._socket.send_frame(*item)
                except ConnectionError:
                    return

    async def _close_in_time(self) -> None:
        """Close the socket when it is idle or too old."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            left = min(self._received_at + self._settings.idle_seconds, self._opened_at + self._lifetime) - now
            if left <= 0:
                self.close()
                return
            await asyncio.sleep(left)


def _truncate(frame: Frame) -> None:
    """Cut the text of a message, the rest of which is at the REST API."""
    data = frame.get("data")
    message = data.get("message") if isinstance(data, dict) else None
    if isinstance(message, dict) and "messageContent" in message:
        payload = message["messageContent"]["payload"]
        payload["text"] = str(payload.get("text", ""))[:_TRUNCATED_CHARACTERS]
        message["hasAdditionalMessageContent"] = True
