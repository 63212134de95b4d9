from __future__ import annotations

from tests.web.conftest import Bridge


async def test_readyz_reports_an_obstacle_and_healthz_does_not(bridge: Bridge) -> None:
    assert await bridge.get("/readyz", key=None) == (200, {"status": "ready"})
    bridge.obstacle = "draining"
    assert await bridge.get("/readyz", key=None) == (503, {"error_message": "draining", "code": "unavailable"})
    assert await bridge.get("/healthz", key=None) == (200, {"status": "ok"})


async def test_metrics_have_the_text_format_of_prometheus(bridge: Bridge) -> None:
    async with bridge.session.get(f"{bridge.base}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert await response.text() == "sipbridge_calls_active 0.0\n"
