"""What calls go by: each configuration that was read, and what was made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sipbridge.calls.call import Surroundings
from sipbridge.config import Config, taken_over
from sipbridge.cxone import HttpClient
from sipbridge.tenancy import make_agents, make_centres, make_speakers, read_recordings

if TYPE_CHECKING:
    from sipbridge.sip.trunk import SipTrunk


class Readings:
    """New calls go by the latest. An earlier one stays as long as calls go by it."""

    def __init__(self, first: Surroundings, trunk: SipTrunk, http: HttpClient) -> None:
        self._trunk = trunk
        self._http = http
        self._kept = [first]

    @property
    def latest(self) -> Surroundings:
        """What new calls go by."""
        return self._kept[-1]

    def of(self, config: Config) -> Surroundings:
        """Return what was made of a configuration: that by which a call was let in, though there was another since."""
        return next(each for each in reversed(self._kept) if each.config is config)

    async def take_over(self, read: Config) -> list[str]:
        """Have new calls go by another configuration; return the keys whose change waits for a restart.

        Raises `StartupError` or `ConfigError`, and changes nothing then.
        """
        before = self.latest
        config, waiting = taken_over(before.config, read)
        # What may fail comes first.
        recordings = await asyncio.to_thread(read_recordings, config)
        for path, pcm in recordings.items():
            await self._trunk.load_clip(str(path), pcm)
        await self._trunk.reload_certificates(config.sip.tls)
        around = replace(
            before,
            config=config,
            agents=make_agents(config, self._trunk),
            speakers=make_speakers(config, self._trunk, before),
            centres=make_centres(config, self._http, before.observe, before),
        )
        self._kept.append(around)
        around.admission.use(config)
        return waiting

    async def let_go(self, in_use: Iterable[Surroundings]) -> None:
        """Let go of those that no call goes by; of the last but one a call may still be on its way from the gate."""
        by = {id(each) for each in in_use}
        gone = [each for each in self._kept[:-2] if id(each) not in by]
        self._kept = [each for each in self._kept if each not in gone]
        kept = {id(centre) for each in self._kept for centre in each.centres.values()}
        for centre in {id(centre): centre for each in gone for centre in each.centres.values()}.values():
            if id(centre) not in kept:
                await centre.close()

    async def close(self) -> None:
        """Close the ways to all contact centres."""
        for around in self._kept:
            for centre in around.centres.values():
                await centre.close()
