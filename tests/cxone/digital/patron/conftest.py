from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipbridge.cxone.digital.patron import connection, session
from sipbridge.simulators.cxone.models import DEMO_TENANT
from tests.cxone.digital.runs import Run, Site, run, site

CHANNEL = {
    "type": "patron",
    "poc_url": "https://chat.example/chatclient.aspx?poc=123&bu=456",
    "access_key_id": DEMO_TENANT.access_key_id,
    "access_key_secret": DEMO_TENANT.access_key_secret,
    "api_url": "{url}/inContactAPI/services/v12.0",
    "token_url": "{url}/authentication/v1/token/access-key",
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between tries."""
    monkeypatch.setattr(connection, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(connection, "RENEWAL_SECONDS", 0.3)
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(session, "ECHO_SECONDS", 0.3)


@pytest.fixture
async def cxone(tmp_path: Path, quick: None) -> AsyncIterator[Site]:  # noqa: ARG001 (its effect is needed)
    """The simulator, with a point of contact for patron chat."""
    async with site(tmp_path, CHANNEL, attachment_hosts=["files.example"]) as started:
        yield started


@pytest.fixture
async def bridge(cxone: Site) -> AsyncIterator[Run]:
    """The bridge in front of the simulator."""
    async with run(cxone) as started:
        yield started
