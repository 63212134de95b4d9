"""The sender with the store of the program."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from sipbridge.chats.ports import ChatChange, ChatStore
from sipbridge.config import StoreConfig
from sipbridge.dns import Resolver
from sipbridge.store import open_chat_store
from sipbridge.webhooks import ChatSource, ChatWebhooks, Webhook, WebhookSender

from .conftest import BOT, QUICK, SECRET, make_event, make_record, until
from .receiver import OK, Receiver, status


async def test_a_restart_delivers_the_rest_from_the_file(tmp_path: Path, receiver: Receiver) -> None:
    receiver.respond = lambda posted: OK if posted.event["sequence"] <= 10 else status(503)
    config = StoreConfig(url=f"sqlite:///{tmp_path}/calls.db", retention_hours=24)
    records = [make_record(f"c{number}") for number in range(20)]
    store = await open_chat_store(config, None)
    sender = make_sender(store, receiver)
    for record in records:
        await store.create(record)
    for sequence in range(1, 31):
        for record in records:
            event = make_event(record, sequence, "hello", datetime.now(UTC))
            await store.write(ChatChange(record.uid, entries=[event]))
            ChatWebhooks(sender, store).publish(record, event)
    await receiver.until_accepted(200)
    await sender.close()
    await store.close()

    receiver.respond = lambda _: OK
    store = await open_chat_store(config, None)
    assert {sequence for _, sequence in await store.undelivered()} == {10}
    sender = make_sender(store, receiver)
    await receiver.until_accepted(600)
    await until(lambda: not sender.backlog(), 5)
    await sender.close()
    await store.close()
    for record in records:
        accepted = [sequence for chat_id, sequence in receiver.accepted if chat_id == record.chat_id]
        assert accepted == list(range(1, 31))

    store = await open_chat_store(config, None)
    assert await store.undelivered() == []
    await store.close()


def make_sender(store: ChatStore, receiver: Receiver) -> WebhookSender:
    webhooks = {BOT: Webhook(receiver.url, SECRET)}
    sender = WebhookSender(ChatSource(store), webhooks.get, Resolver(time.monotonic), lambda _: None, backoff=QUICK)
    sender.start()
    return sender
