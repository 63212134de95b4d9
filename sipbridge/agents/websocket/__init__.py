"""The agent on a WebSocket: Twilio Media Streams, from Twilio's side (twilio.com/docs/voice/media-streams)."""

from sipbridge.agents.websocket.agent import WebsocketAgent
from sipbridge.agents.websocket.opening import Trust, trust_authorities

__all__ = ["Trust", "WebsocketAgent", "trust_authorities"]
