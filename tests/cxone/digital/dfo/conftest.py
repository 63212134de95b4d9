from __future__ import annotations

import pytest

from sipbridge.cxone.digital.dfo import authorization, session


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between connections, and short waits for replies."""
    monkeypatch.setattr(session, "FIRST_PAUSE_SECONDS", 0.001)
    for module in (session, authorization):
        monkeypatch.setattr(module, "REPLY_SECONDS", 0.05)
