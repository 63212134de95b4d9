from __future__ import annotations

from pathlib import Path

from sipbridge.chats import happenings as h
from tests.web.chats import chat_bridge


async def test_link_of_a_chat_shows_its_handoff_in_progress_and_after_its_end(tmp_path: Path) -> None:
    async with chat_bridge(tmp_path) as bridge:
        await bridge.start("c1", reason="orders", data={"order": 7}, customer={"phone": "+1999"})
        link = bridge.pop_links.make_for_chat(bridge.world.live.record)
        path = link.removeprefix(bridge.config.http.public_url)
        for _ in range(2):
            status, shown = await bridge.get(path, key=None)
            assert (status, shown["id"], shown["data"]["order"]) == (200, "c1", 7)
            bridge.world.channel.happens(h.ContactClosed())
            await bridge.world.ended()
