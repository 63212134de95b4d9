"""Twilio Media Streams, in the role of Twilio (twilio.com/docs/voice/media-streams)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from sipbridge.agents.websocket.protocol import StreamFactory, UpgradeHeaders
from sipbridge.agents.websocket.protocols.twilio.messages import label
from sipbridge.agents.websocket.protocols.twilio.signature import sign
from sipbridge.agents.websocket.protocols.twilio.stream import MediaStream
from sipbridge.calls.model import Identity
from sipbridge.config import SIGNATURE_HEADER

__all__ = ["stream_factory", "upgrade_headers"]


def stream_factory(identity: Identity, parameters: Mapping[str, str]) -> StreamFactory:
    """Return what makes the streams of one call."""
    labels = label(identity, parameters)
    return lambda connection, call, playback: MediaStream(connection, call, playback, labels)


def upgrade_headers(token: SecretStr | None) -> UpgradeHeaders:
    """Return what signs an upgrade as Twilio does; without a token there is no signature."""
    if token is None:
        return lambda _url: {}
    return lambda url: {SIGNATURE_HEADER: sign(url, token.get_secret_value())}
