from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipbridge.cxone.digital.byoc import session
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from tests.cxone.digital.runs import Run, Site, run, site

CHANNEL = {
    "type": "byoc",
    "channel_id": DEMO_CHANNEL.id,
    "api_url": "{url}/dfo/3.0",
    "box": {"client_id": DEMO_CHANNEL.client_id, "client_secret": DEMO_CHANNEL.client_secret},
    "custom_fields": {"why": "{reason}"},
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between polls and between tries."""
    monkeypatch.setattr(session, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(session, "FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
async def cxone(tmp_path: Path, quick: None) -> AsyncIterator[Site]:  # noqa: ARG001 (its effect is needed)
    """The simulator, with a bring-your-own channel."""
    async with site(tmp_path, CHANNEL, attachment_hosts=["127.0.0.1"]) as started:
        yield started


@pytest.fixture
async def bridge(cxone: Site) -> AsyncIterator[Run]:
    """The bridge in front of the simulator."""
    async with run(cxone) as started:
        yield started
