"""A bridge that hands chats off to a bring-your-own channel and to patron chat, on one port through restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import (
    Settings,
    bridge_settings,
    byoc_channel_settings,
    client_settings,
    key,
    patron_channel_settings,
)

from .chat_site import CLIENT, PROJECT, ChatSite

BYOC, PATRON = "sms", "legacy"


@dataclass
class Place:
    """The simulator, and the settings of each run of the bridge."""

    folder: Path
    cxone: Simulator
    settings: Settings
    runs: int = 0

    @contextmanager
    def run(self, before: ChatSite | None = None) -> Iterator[ChatSite]:
        """Run the bridge; the chats of a run before listen again after what they have seen."""
        self.runs += 1
        with bridge(self.settings, self.folder, name=f"run-{self.runs}") as running:
            site = ChatSite(running, self.cxone, before.chats if before else [])
            for chat in site.chats:
                chat.stack.close()
                chat.project = site.project()
                chat.listen()
            try:
                yield site
            finally:
                for chat in site.chats:
                    chat.stack.close()


@contextmanager
def own_channels(folder: Path) -> Iterator[Place]:
    """Run the simulator, and enter the box of the bridge there."""
    with simulator(folder) as cxone:
        url = f"http://127.0.0.1:{reserved_port()}"
        cxone.desk.change_byoc(DEMO_CHANNEL.id, box_url=f"{url}/byoc/{CLIENT}/{PROJECT}/{BYOC}")
        yield Place(folder, cxone, _settings(folder, cxone, url))


def _settings(folder: Path, cxone: Simulator, url: str) -> Settings:
    channels = {
        BYOC: byoc_channel_settings(cxone.url) | {"custom_fields": {"reason": "{reason}"}},
        PATRON: patron_channel_settings(cxone.url) | {"parameters": [f"{{data.v{number}}}" for number in range(1, 11)]},
    }
    chat = {"default": BYOC, "channels": channels, "show_agent": True, "allow_private_addresses": True}
    project = {"api_keys": [key(PROJECT)], "chat": chat}
    settings = bridge_settings(folder, {CLIENT: client_settings("+19995550001", cxone.url, {PROJECT: project})})
    settings["http"] |= {"listen": url.removeprefix("http://"), "public_url": url}
    return settings
