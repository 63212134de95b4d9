"""The kinds of voice agents. Each implements `calls.ports.Agent`."""

from sipbridge.agents.prompt import PromptAgent
from sipbridge.agents.sip import SipAgent
from sipbridge.agents.websocket import WebsocketAgent

__all__ = ["PromptAgent", "SipAgent", "WebsocketAgent"]
