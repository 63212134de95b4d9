"""The configuration versions: the latest, under which calls are admitted, and those that calls still use."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sipbridge.app.config_version import clip_name, make_agents, make_centres, make_speakers, read_recordings
from sipbridge.calls.context import CallContext
from sipbridge.config import Config, ProjectKey, all_projects, merge_reloadable
from sipbridge.cxone import HttpClient
from sipbridge.dns import Resolver

if TYPE_CHECKING:
    from sipbridge.sip.user_agent import UserAgent

# Libraries leave cycles of exceptions behind, which keep a version until the collector comes, and it runs seldom
# (service). With more than so many it is called; it stops the loop for some milliseconds.
_LINGERING = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Version:
    """A version, and the recordings that it plays."""

    context: CallContext
    clips: frozenset[str]


class LiveConfig:
    """Makes the versions, and frees what none of them uses any more.

    `start` has the first configuration, but neither agents nor anything else that belongs to a version: `load` makes
    those. Belongs to the event loop; a load and a reload must not overlap.
    """

    def __init__(self, start: CallContext, trunk: UserAgent, http: HttpClient, resolver: Resolver) -> None:
        self._trunk = trunk
        self._http = http
        self._resolver = resolver
        self._kept = [_Version(start, frozenset())]
        self._held: list[CallContext] = []
        self._freed: list[weakref.ref[CallContext]] = []

    @property
    def latest(self) -> CallContext:
        """The version under which calls are admitted."""
        return self._kept[-1].context

    @property
    def projects(self) -> set[ProjectKey]:
        """The projects of all versions that are kept."""
        return {key for version in self._kept for key, _ in all_projects(version.context.config)}

    async def load(self) -> None:
        """Make the first version. Raises `StartupError` or `ConfigError`."""
        with ExitStack() as undo:
            version = await self._make(self.latest.config, undo)
            undo.pop_all()
        self._switch(version)

    async def reload(self, read: Config) -> list[str]:
        """Admit under another configuration from now on; return the keys whose change waits for a restart.

        Raises `StartupError` or `ConfigError`; then nothing has changed.
        """
        config, waiting, tls_files = await asyncio.to_thread(merge_reloadable, self.latest.config, read)
        # All that may fail comes first, and is undone if something later fails.
        with ExitStack() as undo:
            version = await self._make(config, undo)
            certificates = await self._trunk.read_certificates(tls_files)
            undo.callback(certificates.close)
            await self._trunk.use_certificates(certificates)
            undo.pop_all()
        self._switch(version)
        return waiting

    @contextmanager
    def in_use(self) -> Iterator[CallContext]:
        """Keep the latest version for something other than a call."""
        context = self.latest
        self._held.append(context)
        try:
            yield context
        finally:
            self._held.remove(context)

    async def free_unused(self, ending: Iterable[CallContext] = ()) -> bool:
        """Free what no call uses, and nothing else; true if there was any.

        `ending` are the versions of calls that may have given back their slots, but are not over yet.
        """
        used = {self.latest, *self._held, *ending, *self.latest.admission.versions_in_use()}
        gone = [version for version in self._kept if version.context not in used]
        self._kept = [version for version in self._kept if version.context in used]
        await self._free(gone)
        self._freed = [each for each in self._freed if each() is not None]
        self._freed += [weakref.ref(version.context) for version in gone]
        if len(self._freed) > _LINGERING:
            gc.collect()
        return bool(gone)

    async def close(self) -> None:
        """Free all of it."""
        gone, self._kept = self._kept, self._kept[-1:]
        await self._free(gone, all_of_it=True)

    def _switch(self, version: _Version) -> None:
        self._kept.append(version)
        version.context.admission.use(version.context)

    async def _make(self, config: Config, undo: ExitStack) -> _Version:
        before = self.latest
        recordings = await asyncio.to_thread(read_recordings, config)
        clips = {path: clip_name(path, pcm) for path, pcm in recordings.items()}
        loaded = {name for version in self._kept for name in version.clips}
        for path, pcm in recordings.items():
            if clips[path] not in loaded:
                await self._trunk.load_clip(clips[path], pcm)
                undo.callback(self._trunk.drop_clip, clips[path])
        agents = await asyncio.to_thread(make_agents, config, self._trunk, self._resolver, clips)
        context = replace(
            before,
            config=config,
            agents=agents,
            speakers=make_speakers(config, self._trunk, before),
            centres=make_centres(config, self._http, before.observe, before),
        )
        return _Version(context, frozenset(clips.values()))

    async def _free(self, gone: list[_Version], *, all_of_it: bool = False) -> None:
        kept = [] if all_of_it else self._kept
        clips = {name for version in kept for name in version.clips}
        speakers = {speaker for version in kept for speaker in version.context.speakers.values()}
        centres = {centre for version in kept for centre in version.context.centres.values()}
        for name in {name for version in gone for name in version.clips} - clips:
            self._trunk.drop_clip(name)
        for speaker in {speaker for version in gone for speaker in version.context.speakers.values()} - speakers:
            speaker.close()
        for centre in {centre for version in gone for centre in version.context.centres.values()} - centres:
            await centre.close()
