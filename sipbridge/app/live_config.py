"""The configuration versions: the latest one, which new calls use, and those that earlier calls still use."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sipbridge.app.config_version import (
    build_agents,
    build_centres,
    build_channels,
    build_speakers,
    clip_name,
    find_hold_clips,
    read_recordings,
)
from sipbridge.calls.context import CallContext
from sipbridge.chats.context import ChannelKey, ChatContext
from sipbridge.chats.ports import DigitalChannel
from sipbridge.config import ChatChannelConfig, ChatConfig, Config, ProjectKey, merge_reloadable
from sipbridge.cxone import CxoneClient
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient

if TYPE_CHECKING:
    from sipbridge.sip.user_agent import UserAgent

# Makes a channel: from the CXone clients of the version, its key, the chat section and its own settings.
MakeChannel = Callable[
    [Mapping[str, CxoneClient], ChannelKey, ChatConfig, ChatChannelConfig],
    DigitalChannel,
]

# Exceptions of libraries leave reference cycles, which keep a version in memory until the garbage collector runs, and
# it runs seldom (service.py). With more freed versions in memory than this, run it; it stops the loop for milliseconds.
_MAX_UNCOLLECTED = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Version:
    """A version, as calls and as chats see it, its CXone clients, and the names of the recordings that it plays."""

    context: CallContext
    chats: ChatContext
    centres: Mapping[str, CxoneClient]
    clips: frozenset[str]


class LiveConfig:
    """Builds the versions, and frees what no version uses any more.

    `start` has the first configuration, but no agents and nothing else that belongs to a version; `load` builds those.
    Used on the event loop only. A load and a reload must not overlap.
    """

    def __init__(
        self,
        start: CallContext,
        chats: ChatContext,
        user_agent: UserAgent,
        http: HttpClient,
        resolver: Resolver,
        make_channel: MakeChannel,
    ) -> None:
        self._user_agent = user_agent
        self._http = http
        self._resolver = resolver
        self._make_channel = make_channel
        self._kept = [_Version(start, chats, {}, frozenset())]
        self._held: list[CallContext] = []
        self._is_building = False
        self._freed: list[weakref.ref[CallContext]] = []

    @property
    def latest(self) -> CallContext:
        """The version that new calls use."""
        return self._kept[-1].context

    @property
    def latest_chats(self) -> ChatContext:
        """The version that new chats use."""
        return self._kept[-1].chats

    @property
    def projects(self) -> set[ProjectKey]:
        """The projects of all versions that are in memory."""
        return {key for version in self._kept for key, _ in version.context.config.all_projects()}

    async def load(self) -> None:
        """Build the first version. Raises `StartupError` or `ConfigError`."""
        with ExitStack() as undo:
            version = await self._build(self.latest.config, undo)
            undo.pop_all()
        self._use(version)

    async def reload(self, read: Config) -> list[str]:
        """Use another configuration for new calls; return the keys whose change waits for a restart.

        Raises `StartupError` or `ConfigError`; then nothing has changed.
        """
        config, waiting, tls_files = await asyncio.to_thread(merge_reloadable, self.latest.config, read)
        # Everything that can fail is done first, and is undone if a later step fails.
        with self._building(), ExitStack() as undo:
            version = await self._build(config, undo)
            certificates = await self._user_agent.read_certificates(tls_files)
            undo.callback(certificates.close)
            await self._user_agent.use_certificates(certificates)
            undo.pop_all()
        self._use(version)
        return waiting

    @contextmanager
    def _building(self) -> Iterator[None]:
        """Free nothing meanwhile: the version that is built may share a recording with one that no call uses."""
        self._is_building = True
        try:
            yield
        finally:
            self._is_building = False

    @contextmanager
    def in_use(self) -> Iterator[CallContext]:
        """Hold the latest version for a use other than a call."""
        context = self.latest
        self._held.append(context)
        try:
            yield context
        finally:
            self._held.remove(context)

    async def free_unused(self, ending: Iterable[CallContext | ChatContext] = ()) -> bool:
        """Free the versions that are not in use; return True if there were any. During a reload nothing is freed.

        `ending` are the versions of chats, and of calls that may have released their slots but have not finished yet.
        """
        if self._is_building:
            return False
        used: set[object] = {self.latest, *self._held, *ending, *self.latest.admission.versions_in_use()}
        unused = [version for version in self._kept if not used & {version.context, version.chats}]
        self._kept = [version for version in self._kept if used & {version.context, version.chats}]
        await self._free(unused)
        self._freed = [each for each in self._freed if each() is not None]
        self._freed += [weakref.ref(version.context) for version in unused]
        if len(self._freed) > _MAX_UNCOLLECTED:
            gc.collect()
        return bool(unused)

    async def close(self) -> None:
        """Free all versions."""
        versions, self._kept = self._kept, self._kept[-1:]
        await self._free(versions, including_latest=True)

    def _use(self, version: _Version) -> None:
        self._kept.append(version)
        version.context.admission.use(version.context)

    async def _build(self, config: Config, undo: ExitStack) -> _Version:
        before = self.latest
        recordings = await asyncio.to_thread(read_recordings, config)
        clips = {recording: clip_name(recording, pcm) for recording, pcm in recordings.items()}
        loaded = {name for version in self._kept for name in version.clips}
        for recording, pcm in recordings.items():
            if clips[recording] not in loaded:
                await self._user_agent.load_clip(clips[recording], pcm, looped=recording.looped)
                undo.callback(self._user_agent.drop_clip, clips[recording])
        centres = build_centres(config, self._http, before.observe, before.config, self._kept[-1].centres)
        agents = await asyncio.to_thread(build_agents, config, self._user_agent, self._resolver, clips)
        context = replace(
            before,
            config=config,
            agents=agents,
            speakers=build_speakers(config, self._user_agent, before),
            hold_clips=find_hold_clips(config, clips),
            centres=centres,
        )
        chats = replace(
            self.latest_chats,
            config=config,
            channels=build_channels(config, partial(self._make_channel, centres), self.latest_chats),
        )
        return _Version(context, chats, centres, frozenset(clips.values()))

    async def _free(self, versions: list[_Version], *, including_latest: bool = False) -> None:
        kept = [] if including_latest else self._kept
        clips = {name for version in kept for name in version.clips}
        speakers = {speaker for version in kept for speaker in version.context.speakers.values()}
        centres = {centre for version in kept for centre in version.context.centres.values()}
        for name in {name for version in versions for name in version.clips} - clips:
            self._user_agent.drop_clip(name)
        for speaker in {speaker for version in versions for speaker in version.context.speakers.values()} - speakers:
            speaker.close()
        for centre in {centre for version in versions for centre in version.context.centres.values()} - centres:
            await centre.close()
