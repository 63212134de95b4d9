from __future__ import annotations

import asyncio

from tests.bench.chat_load import Bot, Webhook


async def test_a_request_whose_connection_is_closed_counts_as_rejected_and_the_next_has_a_new_one() -> None:
    responses = iter([None, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        response = next(responses)
        if response:
            writer.write(response)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Bot(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "key") as bot:
        await bot.start("a")
        assert bot.rejected == 1
        await bot.start("b")
        assert bot.rejected == 1


def test_events_are_counted_once_however_often_the_count_is_read() -> None:
    webhook = Webhook(received=[(0.0, b'{"type":"agent_message"}'), (0.0, b'{"type":"chat_started"}')])
    assert [webhook.count(b"agent_message") for _ in range(2)] == [1, 1]
    webhook.received.append((1.0, b'{"type":"agent_message"}'))
    assert (webhook.count(b"agent_message"), webhook.count(b"chat_started")) == (2, 1)
