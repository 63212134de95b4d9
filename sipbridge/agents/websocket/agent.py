"""The agent that is reached by a WebSocket."""

from __future__ import annotations

from sipbridge.agents.websocket.conversation import WebsocketConversation
from sipbridge.agents.websocket.opening import Opener, Trust, trust_authorities
from sipbridge.agents.websocket.protocols.twilio.messages import label
from sipbridge.calls.model import Identity
from sipbridge.calls.ports import Leg
from sipbridge.config import WebsocketAgentConfig
from sipbridge.dns import Resolver
from sipbridge.errors import AgentUnavailable


class WebsocketAgent:
    """Implements `calls.ports.Agent`: one socket a caller. Raises `StartupError` for an unusable `ca_file`.

    `trust` makes the TLS context of a `ca_file`; agents made together may share it.
    """

    def __init__(self, config: WebsocketAgentConfig, resolver: Resolver, trust: Trust = trust_authorities) -> None:
        self._config = config
        self._opener = Opener(config, resolver, trust)

    async def connect(self, identity: Identity, leg: Leg) -> WebsocketConversation:
        """Open a socket while the caller hears ringing. Raises `AgentUnavailable`, `LegEnded`."""
        await leg.ring()
        link = await self._opener.open()
        if link.ended.done():
            link.close()
            raise AgentUnavailable("it accepted the upgrade and closed its socket at once")
        return WebsocketConversation(
            link=link,
            reopen=self._opener.open,
            leg=leg,
            labels=label(identity, self._config.parameters),
            silence_timeout_seconds=self._config.silence_timeout_seconds,
        )
