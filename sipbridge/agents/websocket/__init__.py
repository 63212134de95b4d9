"""The agent on a WebSocket: Twilio Media Streams, from Twilio's side (twilio.com/docs/voice/media-streams)."""

from sipbridge.agents.websocket.agent import WebsocketAgent

__all__ = ["WebsocketAgent"]
