from __future__ import annotations

import aiohttp
import pytest

from sipbridge import descriptors

from .conftest import Bridge


async def test_while_descriptors_are_scarce_nobody_is_let_in(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "scarce", lambda: True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await bridge.get("/healthz")
    monkeypatch.setattr(descriptors, "scarce", lambda: False)
    assert (await bridge.get("/healthz"))[0] == 200
