"""What the calls of a configuration take of the machine."""

from __future__ import annotations

from sipbridge.config.agents import SipAgentConfig, WebsocketAgentConfig
from sipbridge.config.handoff import InviteDestination
from sipbridge.config.models import Config, ProjectConfig
from sipbridge.config.projects import all_projects

_PER_LEG = 2  # RTP and RTCP, a socket and a port each


def ports_per_call(config: Config) -> int:
    """Return how many UDP ports a call takes at most."""
    return max(_PER_LEG * _legs(project) for _, project in all_projects(config))


def descriptors_per_call(config: Config) -> int:
    """Return how many file descriptors a call takes at most."""
    return max(
        _PER_LEG * _legs(project) + isinstance(project.agent, WebsocketAgentConfig)
        for _, project in all_projects(config)
    )


def _legs(project: ProjectConfig) -> int:
    """Count a call's legs while a destination rings: a SIP agent hears of the end, so it stays until then."""
    agent = isinstance(project.agent, SipAgentConfig)
    # With a route, a handoff may ask for `invite` whatever the destinations say.
    calls_out = bool(project.handoff.allowed_routes) or any(
        isinstance(destination, InviteDestination) for destination in project.handoff.destinations.values()
    )
    return 1 + agent + calls_out
