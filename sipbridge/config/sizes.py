"""The resources of the machine that the calls and chats of a configuration need."""

from __future__ import annotations

from sipbridge.config.agents import SipAgentConfig, WebsocketAgentConfig
from sipbridge.config.handoff import InviteDestination
from sipbridge.config.models import Config
from sipbridge.config.projects import VoiceProjectConfig

_PER_LEG = 2  # RTP and RTCP, a socket and a port each
_PER_CHAT = 2  # its connection to CXone, and one reader of its events


def ports_per_call(config: Config) -> int:
    """Return the number of UDP ports that one call needs at most."""
    return max((_PER_LEG * _legs(project) for _, project in config.voice_projects()), default=_PER_LEG)


def descriptors_per_call(config: Config) -> int:
    """Return the number of file descriptors that one call needs at most."""
    return max(
        (
            _PER_LEG * _legs(project) + isinstance(project.agent, WebsocketAgentConfig)
            for _, project in config.voice_projects()
        ),
        default=_PER_LEG,
    )


def descriptors_of_chats(config: Config) -> int:
    """Return the number of file descriptors that all chats need at most."""
    has_chats = any(project.chat is not None for _, project in config.all_projects())
    return config.max_chats * _PER_CHAT if has_chats else 0


def _legs(project: VoiceProjectConfig) -> int:
    """Count the legs of a call while a destination rings. A SIP agent stays until it is notified of the outcome."""
    agent = isinstance(project.agent, SipAgentConfig)
    # With a route, a handoff may request `invite` whatever the destinations are.
    calls_out = bool(project.handoff.allowed_routes) or any(
        isinstance(destination, InviteDestination) for destination in project.handoff.destinations.values()
    )
    return 1 + agent + calls_out
