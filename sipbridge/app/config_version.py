"""The parts of one configuration version: agents, text-to-speech, CXone clients and digital channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from sipbridge.agents import PromptAgent, SipAgent, WebsocketAgent
from sipbridge.agents.websocket import Trust, trust_authorities
from sipbridge.calls.context import CallContext
from sipbridge.calls.ports.agents import Agent
from sipbridge.calls.ports.observer import Observer
from sipbridge.calls.ports.speech import Speaker
from sipbridge.chats.context import ChannelKey, ChatContext
from sipbridge.chats.ports import DigitalChannel
from sipbridge.config import (
    ChatChannelConfig,
    ChatConfig,
    Config,
    Recording,
    SipAgentConfig,
    VoiceProjectConfig,
    WebsocketAgentConfig,
)
from sipbridge.cxone import CxoneClient
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient
from sipbridge.speech import CommandSpeaker
from sipbridge.wav import Pcm, read_wav

if TYPE_CHECKING:
    from sipbridge.sip.user_agent import UserAgent


def read_recordings(config: Config) -> dict[Recording, Pcm]:
    """Read the recordings of all projects. Slow, so never call it on the loop. Raises `StartupError`."""
    recordings = {recording for _, project in config.voice_projects() for recording in project.recordings.values()}
    return {recording: read_wav(recording.path) for recording in recordings}


def clip_name(recording: Recording, pcm: Pcm) -> str:
    """Return a name for the content of a recording, so that calls keep their clip after the file has changed."""
    use = "looped" if recording.looped else "once"
    return f"{recording.path}#{blake2b(pcm.samples, digest_size=16).hexdigest()}@{pcm.rate},{use}"


def find_hold_clips(config: Config, clips: Mapping[Recording, str]) -> Mapping[tuple[str, str], str]:
    """Return the clip that callers of each project hear on hold, if it has one."""
    found = {key: project.recordings.get(("handoff", "hold_audio")) for key, project in config.voice_projects()}
    return {key: clips[recording] for key, recording in found.items() if recording is not None}


def build_agents(
    config: Config, user_agent: UserAgent, resolver: Resolver, clips: Mapping[Recording, str]
) -> Mapping[tuple[str, str], Agent]:
    """Build the agent of each project. Reads CA files, so never call it on the loop. Raises `StartupError`."""
    trust = cache(trust_authorities)
    traced = config.telemetry.traces
    return {
        key: _build_agent(project, user_agent, resolver, clips, trust, traced=traced)
        for key, project in config.voice_projects()
    }


def _build_agent(
    project: VoiceProjectConfig,
    user_agent: UserAgent,
    resolver: Resolver,
    clips: Mapping[Recording, str],
    trust: Trust,
    *,
    traced: bool,
) -> Agent:
    agent = project.agent
    if isinstance(agent, SipAgentConfig):
        return SipAgent(agent, user_agent, project.handoff, traced=traced)
    if isinstance(agent, WebsocketAgentConfig):
        return WebsocketAgent(agent, resolver, trust, traced=traced)
    recording = project.recordings.get(("agent", "audio"))
    return PromptAgent(agent, clips[recording] if recording else None)


def build_channels(
    config: Config, make: Callable[[ChannelKey, ChatConfig, ChatChannelConfig], DigitalChannel], before: ChatContext
) -> Mapping[ChannelKey, DigitalChannel]:
    """Build the digital channels of each project. If nothing that they use has changed since `before`, keep them."""
    channels: dict[ChannelKey, DigitalChannel] = {}
    for key, project in config.all_projects():
        if (chat := project.chat) is None:
            continue
        earlier = before.config.find_project(*key)
        is_same = (
            earlier is not None
            and earlier.chat == chat
            and before.config.clients[key.client].cxone == config.clients[key.client].cxone
        )
        for name, settings in chat.channels.items():
            channel_key = (*key, name)
            kept = before.channels.get(channel_key) if is_same else None
            channels[channel_key] = kept or make(channel_key, chat, settings)
    return channels


def build_speakers(config: Config, user_agent: UserAgent, before: CallContext) -> Mapping[tuple[str, str], Speaker]:
    """Build the text-to-speech of each project. If its command is that of `before`, keep it, with its cached audio."""
    speakers: dict[tuple[str, str], Speaker] = {}
    earlier = dict(before.config.voice_projects())
    for key, project in config.voice_projects():
        if project.tts_command is None:
            continue
        if key in before.speakers and earlier[key].tts_command == project.tts_command:
            speakers[key] = before.speakers[key]
        else:
            speakers[key] = CommandSpeaker(project.tts_command, user_agent.load_clip, user_agent.drop_clip)
    return speakers


def build_centres(
    config: Config, http: HttpClient, observe: Observer, before: Config, centres_before: Mapping[str, CxoneClient]
) -> Mapping[str, CxoneClient]:
    """Build the CXone client of each client. If its settings are those of `before`, keep it, with its token."""
    centres: dict[str, CxoneClient] = {}
    for client, settings in config.clients.items():
        earlier = before.clients.get(client)
        if client in centres_before and earlier and earlier.cxone == settings.cxone:
            centres[client] = centres_before[client]
        else:
            centres[client] = CxoneClient(client, settings.cxone, http, observe)
    return centres
