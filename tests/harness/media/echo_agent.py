"""A WebSocket agent that returns each frame of the caller at once, so that a caller can measure the round trip.

Its own audio is one frame of silence at the start, for callers that wait for the first packet. It speaks the bridge's
protocol, Twilio Media Streams, and that of Asterisk's `chan_websocket`, whose audio is in binary messages
(https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/).
"""

from __future__ import annotations

from binascii import b2a_base64

import orjson
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from .g711 import FRAME_BYTES, MULAW_SILENCE
from .websocket_server import WebsocketServer

_MEDIA = b'{"event":"media"'
_START = b'{"event":"start"'
_MEDIA_START = b"MEDIA_START"  # of `chan_websocket`
_SILENCE = MULAW_SILENCE * FRAME_BYTES
_PAYLOAD = b'"payload":"'


class _Call(WSListener):
    """One connection."""

    def __init__(self) -> None:
        self._head = b""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Return audio; the head of its messages comes from `start`."""
        message = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.BINARY:
            transport.send(WSMsgType.BINARY, message)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif message.startswith(_MEDIA) and self._head:
            begin = message.index(_PAYLOAD) + len(_PAYLOAD)
            transport.send(WSMsgType.TEXT, self._head + message[begin : message.index(b'"', begin)] + b'"}}')
        elif message.startswith(_START):
            stream = orjson.loads(message)["streamSid"]
            self._head = b'{"event":"media","streamSid":"%s","media":{"payload":"' % stream.encode()
            transport.send(WSMsgType.TEXT, self._head + b2a_base64(_SILENCE, newline=False) + b'"}}')
        elif message.startswith(_MEDIA_START):
            transport.send(WSMsgType.BINARY, _SILENCE)


class EchoAgent(WebsocketServer):
    """Accepts calls on a free loopback port."""

    def __init__(self) -> None:
        super().__init__(lambda _: _Call())
