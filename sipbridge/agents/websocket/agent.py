"""The agent on a WebSocket."""

from __future__ import annotations

from functools import partial

from sipbridge.agents.websocket.conversation import WebsocketConversation
from sipbridge.agents.websocket.opening import Opener, Trust, trust_authorities
from sipbridge.agents.websocket.protocols import twilio
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.sip import Leg
from sipbridge.config import WebsocketAgentConfig
from sipbridge.dns import Resolver
from sipbridge.errors import AgentUnavailable
from sipbridge.trace_context import TRACEPARENT, TraceContext


class WebsocketAgent:
    """Implements `calls.ports.Agent`: one connection per caller. Raises `StartupError` for an unusable `ca_file`.

    `trust` makes the TLS context of a `ca_file`; agents made together may share it. `traced` adds the id of the call's
    trace to the upgrade.
    """

    def __init__(
        self,
        config: WebsocketAgentConfig,
        resolver: Resolver,
        trust: Trust = trust_authorities,
        *,
        traced: bool = False,
    ) -> None:
        self._config = config
        self._traced = traced
        self._opener = Opener(config, resolver, trust, twilio.upgrade_headers(config.signature_token))

    async def connect(self, identity: Identity, leg: Leg) -> WebsocketConversation:
        """Open a connection while the caller hears ringing. Raises `AgentUnavailable`, `LegEnded`."""
        await leg.ring()
        trace = {TRACEPARENT: TraceContext.of(identity.call_id).traceparent} if self._traced else {}
        connection = await self._opener.open(trace)
        if connection.ended.done():
            connection.close()
            raise AgentUnavailable("it accepted the upgrade and closed its socket at once")
        return WebsocketConversation(
            connection=connection,
            reopen=partial(self._opener.open, trace),
            leg=leg,
            open_stream=twilio.stream_factory(identity, self._config.parameters),
            silence_timeout_seconds=self._config.silence_timeout_seconds,
        )
