"""The page and its socket: the echo, tabs, customers, and unexpected frames."""

from __future__ import annotations

import base64
import hashlib
import re

from aiohttp import ClientSession, WSMsgType

from .peers import Tab, opened


async def test_the_page_allows_its_own_script_and_style_and_no_other(http: ClientSession) -> None:
    async with http.get("/") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert not re.search(r"\son\w+=|style=", page.partition("<script>")[0])


async def test_the_bot_echoes_and_knows_a_repeated_message(tab: Tab) -> None:
    assert await tab.frame("history") == [
        {"from": "bot", "name": "Bot", "text": "Hello! I echo. Ask for a person to get one.", "id": "", "links": []}
    ]
    name = await tab.write("Good day")
    await tab.write("Good day", name)
    await tab.write("Bye")
    assert [await tab.entry() for _ in range(4)] == [
        ("customer", "Good day"),
        ("bot", "You said: Good day"),
        ("customer", "Bye"),
        ("bot", "You said: Bye"),
    ]


async def test_strange_frames_change_nothing(tab: Tab) -> None:
    for frame in ("[]", "1", '{"type": "message"}', '{"type": "typing"}', '{"type": "end"}'):
        await tab.socket.send_str(frame)
    for name, text in ((1, "x"), ("", "x"), ("1", 1), ("1", "  ")):
        await tab.socket.send_json({"type": "message", "id": name, "text": text})
    await tab.write("Bye")
    assert await tab.entry() == ("customer", "Bye")
    await tab.socket.send_str("no JSON")
    while (await tab.socket.receive(timeout=5)).type is WSMsgType.TEXT:
        pass
    assert tab.socket.closed


async def test_a_customer_is_named_by_a_secret_of_32_hexadecimal_digits(http: ClientSession) -> None:
    for name in ("", "a" * 31, "a" * 33, "g" * 32):
        async with http.get(f"/chat/{name}") as response:
            assert response.status == 404


async def test_all_tabs_of_a_customer_show_the_same_and_another_customer_nothing_of_it(
    http: ClientSession, tab: Tab
) -> None:
    await tab.write("Good day")
    await tab.entry()
    await tab.entry()
    async with opened(http) as other, opened(http, "b" * 32) as stranger:
        assert [each["text"] for each in await other.frame("history")][1:] == ["Good day", "You said: Good day"]
        await other.write("Bye")
        assert await tab.entry() == await other.entry() == ("customer", "Bye")
        assert len(await stranger.frame("history")) == 1
