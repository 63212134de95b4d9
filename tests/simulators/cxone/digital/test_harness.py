"""The harness acts as human agents of a running simulator."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.harness.cxone.desk import Desk

from .chat_client import connected, new_id


async def test_the_harness_acts_as_a_human_agent(http: aiohttp.ClientSession) -> None:
    async with http.get("/simulator/requests") as response:
        desk = Desk(str(response.url.origin()))

    def serve() -> list[str]:
        chat = desk.chat(customer="customer-1", state="waiting")
        desk.accept(chat)
        desk.say(chat, "How can I help?")
        texts = [each["text"] for each in desk.messages(chat, wait_for=3)]
        with pytest.raises(ValueError, match="already"):
            desk.accept(chat)
        desk.close(chat)
        assert [each["type"] for each in desk.frames(type="SendMessage", wait_for=2)] == ["SendMessage"] * 2
        assert desk.counts()["SendMessage"] == {"ok": 2}
        assert desk.drop() == 1
        return texts

    serving = asyncio.create_task(asyncio.to_thread(serve))
    async with connected(http) as client:
        thread = new_id()
        await client.say(thread, "Hello")
        while (await client.push("MessageCreated"))["data"]["message"]["direction"] == "inbound":
            pass
        await client.say(thread, "My invoice")
        assert await serving == ["Hello", "How can I help?", "My invoice"]
        assert await client.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
