"""The clients of one configuration version: their agents, their voices, their CXone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from sipbridge.agents import PromptAgent, SipAgent, WebsocketAgent
from sipbridge.agents.websocket import Trust, trust_authorities
from sipbridge.calls.context import CallContext
from sipbridge.calls.ports import Agent, ContactCentre, Observer, Speaker
from sipbridge.config import (
    Config,
    ProjectConfig,
    PromptAgentConfig,
    SipAgentConfig,
    WebsocketAgentConfig,
    all_projects,
)
from sipbridge.cxone import CxoneClient, HttpClient
from sipbridge.dns import Resolver
from sipbridge.speech import CommandSpeaker
from sipbridge.wav import Pcm, read_wav

if TYPE_CHECKING:
    from sipbridge.sip.user_agent import UserAgent


def read_recordings(config: Config) -> dict[Path, Pcm]:
    """Read what prompts play. Takes a while, so not on the loop. Raises `StartupError`."""
    paths = {
        project.agent.audio
        for _, project in all_projects(config)
        if isinstance(project.agent, PromptAgentConfig) and project.agent.audio is not None
    }
    return {path: read_wav(path) for path in paths}


def clip_name(path: Path, pcm: Pcm) -> str:
    """Name a recording by its content: another under the same path is another clip, and calls go on with theirs."""
    return f"{path}#{blake2b(pcm.samples, digest_size=16).hexdigest()}@{pcm.rate}"


def make_agents(
    config: Config, trunk: UserAgent, resolver: Resolver, clips: Mapping[Path, str]
) -> Mapping[tuple[str, str], Agent]:
    """Make the agent of each project. Reads authorities from files: not on the loop. Raises `StartupError`."""
    trust = cache(trust_authorities)
    return {key: _make_agent(project, trunk, resolver, clips, trust) for key, project in all_projects(config)}


def _make_agent(
    project: ProjectConfig, trunk: UserAgent, resolver: Resolver, clips: Mapping[Path, str], trust: Trust
) -> Agent:
    agent = project.agent
    if isinstance(agent, SipAgentConfig):
        return SipAgent(agent, trunk, project.handoff)
    if isinstance(agent, WebsocketAgentConfig):
        return WebsocketAgent(agent, resolver, trust)
    return PromptAgent(agent, clips[agent.audio] if agent.audio else None)


def make_speakers(config: Config, trunk: UserAgent, before: CallContext) -> Mapping[tuple[str, str], Speaker]:
    """Make the voice of each project that has one; one whose command is as `before` is kept, with what it has ready."""
    speakers: dict[tuple[str, str], Speaker] = {}
    earlier = dict(all_projects(before.config))
    for key, project in all_projects(config):
        if project.tts_command is None:
            continue
        if key in before.speakers and earlier[key].tts_command == project.tts_command:
            speakers[key] = before.speakers[key]
        else:
            speakers[key] = CommandSpeaker(project.tts_command, trunk.load_clip, trunk.drop_clip)
    return speakers


def make_centres(
    config: Config, http: HttpClient, observe: Observer, before: CallContext
) -> Mapping[str, ContactCentre]:
    """Make the CXone of each client; one whose settings are as `before` is kept, with its token."""
    centres: dict[str, ContactCentre] = {}
    for client, settings in config.clients.items():
        earlier = before.config.clients.get(client)
        if client in before.centres and earlier and earlier.cxone == settings.cxone:
            centres[client] = before.centres[client]
        else:
            centres[client] = CxoneClient(client, settings.cxone, http, observe)
    return centres
