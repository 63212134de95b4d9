"""Chats over a real channel to the simulator in the same process, with the API in front, through restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipbridge.aio import BackgroundTasks
from sipbridge.app.chat_wiring import ChannelMaker, box_of
from sipbridge.chats.attachments import AttachmentFetcher
from sipbridge.chats.context import ChatContext
from sipbridge.chats.events import ChannelFault, ChatTelemetry
from sipbridge.chats.model import Attachment, BotMessage, ChatEvent, ChatRecord, EndRequest
from sipbridge.chats.ports import LiveChat
from sipbridge.chats.reception import Reception
from sipbridge.chats.registry import ChatRegistry
from sipbridge.chats.request import ChatRequest
from sipbridge.config import Config, StoreConfig
from sipbridge.cxone import CxoneClient
from sipbridge.cxone.digital.byoc.parts import Threads
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient
from sipbridge.simulators.cxone import DEMO_TENANT, make_app
from sipbridge.simulators.cxone.digital.byoc.byoc import Byoc
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from sipbridge.simulators.cxone.digital.byoc.rest import BYOC
from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.desk_api import DESK
from sipbridge.simulators.cxone.digital.messages import Content
from sipbridge.simulators.cxone.digital.patron.patron import Patron
from sipbridge.simulators.cxone.digital.patron.rest import PATRON
from sipbridge.simulators.cxone.endpoints import STATE
from sipbridge.simulators.cxone.models import Fault
from sipbridge.simulators.cxone.state import State
from sipbridge.store import open_store
from sipbridge.web import ChatDeps, ChatFeed, start_web
from sipbridge.web import make_app as make_api
from tests.fakes.chat_store import FakeChatStore
from tests.web.conftest import Bridge

CLIENT, PROJECT, KEY = "acme", "support", "key-of-support-0001"
SECONDS = 10  # for anything to happen
ADA, BEN, _ = DEMO_AGENTS


@dataclass
class Site:
    """The simulator, and what outlives a run of the bridge: the store, and the events that the bot got."""

    url: str
    app: web.Application
    folder: Path
    channel: dict[str, Any]
    chat: dict[str, Any]
    store: FakeChatStore = field(default_factory=FakeChatStore)
    events: list[ChatEvent] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return self.app[DESK]

    @property
    def byoc(self) -> Byoc:
        return self.app[BYOC]

    @property
    def patron(self) -> Patron:
        return self.app[PATRON]

    @property
    def state(self) -> State:
        return self.app[STATE]

    def fail(self, endpoint: str, **fault: object) -> None:
        """Queue a fault of CXone."""
        self.state.add_fault(Fault.model_validate({"endpoint": endpoint, **fault}))

    def change_box(self, **settings: object) -> None:
        """Change settings of the bring-your-own channel at CXone."""
        channel = self.byoc.channels[DEMO_CHANNEL.id]
        self.byoc.channels[channel.id] = channel.model_validate(channel.model_dump() | settings)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        try:
            async with asyncio.timeout(SECONDS):
                while not condition():  # noqa: ASYNC110 (nothing signals these conditions)
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"no {what}; events {[each.to_json() for each in self.events]}") from None

    async def contact(self, number: int = 1) -> Conversation:
        """Return the contact that was opened as this one, once there is one."""
        await self.until(lambda: len(self.desk.conversations()) >= number, f"contact {number}")
        return self.desk.conversations()[number - 1]

    async def texts(self, contact: Conversation, count: int) -> list[str]:
        """Return the customer's texts of a contact, once there are so many."""
        await self.until(lambda: len(customer_texts(contact)) >= count, f"{count} texts of the customer")
        return customer_texts(contact)


def customer_texts(contact: Conversation) -> list[str]:
    """Return the texts of the customer in a contact."""
    return [message.content.text for message in contact.messages if message.direction == "inbound"]


class Run:
    """One run of the bridge."""

    def __init__(self, site: Site, config: Config, bridge: Bridge, reception: Reception) -> None:
        self.site = site
        self.config = config
        self.bridge = bridge
        self.reception = reception
        self.telemetry: list[ChatTelemetry] = []

    @property
    def live(self) -> LiveChat:
        found = self.bridge.chats.directory.find(CLIENT, PROJECT, "c1")
        assert found is not None
        return found

    @property
    def faults(self) -> list[str]:
        return [each.fault for each in self.telemetry if isinstance(each, ChannelFault)]

    async def request(self, **request: object) -> None:
        """Start a chat."""
        await self.reception.start(CLIENT, PROJECT, ChatRequest.model_validate({"id": "c1", **request}))

    async def start(self, **request: object) -> Conversation:
        """Start a chat; return its contact."""
        await self.request(**request)
        return await self.site.contact()

    async def joined(self, **request: object) -> Conversation:
        """Start a chat that a human agent accepts; return its contact once the bot knows."""
        contact = await self.start(**request)
        await self.event("handoff_accepted")
        contact.accept(ADA)
        await self.event("agent_joined")
        return contact

    async def say(self, text: str, message_id: str, *attachments: Attachment) -> None:
        message = BotMessage(id=message_id, text=text, attachments=attachments, at=datetime.now(UTC))
        await self.live.accept_message(message)

    async def end(self, **request: object) -> None:
        await self.live.request_end(EndRequest(at=datetime.now(UTC), **request))

    async def event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Return the payload of an event, once the bot has got so many of its kind."""
        await self.site.until(lambda: len(self.payloads(kind)) >= count, f"{kind} {count}")
        return self.payloads(kind)[count - 1]

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of the events of a kind."""
        return [event.payload for event in self.site.events if event.type == kind]

    def agent_texts(self) -> list[str]:
        """Return the texts of the human agent that the bot got."""
        return [payload["text"] for payload in self.payloads("agent_message")]

    async def ended(self) -> ChatRecord:
        """Return the record of the chat, once it is over."""
        await self.site.until(lambda: self.reception.active == 0, "end")
        record = await self.site.store.get(CLIENT, PROJECT, "c1")
        assert record is not None
        assert record.state.is_final
        return record


@asynccontextmanager
async def site(folder: Path, channel: dict[str, Any], **chat: Any) -> AsyncIterator[Site]:  # noqa: ANN401 (keys of the chat section)
    """Run the simulator. `channel` has the settings of the one channel; in them, {url} and {host} are its own."""
    app = make_app()
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        filled = {
            key: value.format(url=url, host=server.host + f":{server.port}") if isinstance(value, str) else value
            for key, value in channel.items()
        }
        yield Site(url, app, folder, filled, chat)


@asynccontextmanager
async def run(site: Site) -> AsyncIterator[Run]:
    """Run the bridge, which goes on with the chats that the last run left open; its box is entered at CXone."""
    async with AsyncExitStack() as stack:
        resolver = Resolver(time.monotonic)
        stack.push_async_callback(resolver.close)
        http = await stack.enter_async_context(HttpClient(resolver))
        attachments = AttachmentFetcher(resolver)
        stack.push_async_callback(attachments.close)
        background = BackgroundTasks()
        feed, telemetry = ChatFeed(), list[ChatTelemetry]()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        records = await open_store(StoreConfig(url=f"sqlite:///{site.folder}/calls.db"))
        stack.push_async_callback(records.close)

        bridge = Bridge(_config(site, ""), records, session)
        reception = Reception(lambda: context)
        bridge.chats = ChatDeps(
            reception, ChatRegistry(), site.store, feed, lambda *key: box_of(context, *key), lambda: reception.recovered
        )
        runner, (host, port) = await start_web(make_api(bridge.deps()), "127.0.0.1", 0)
        stack.push_async_callback(runner.cleanup)
        bridge.base = f"http://{host}:{port}"
        config = bridge.config = _config(site, bridge.base)
        running = Run(site, config, bridge, reception)
        running.telemetry = telemetry
        maker = ChannelMaker(http, http, resolver, telemetry.append, background, Threads(), attachments)
        centre = CxoneClient(CLIENT, config.clients[CLIENT].cxone, http, lambda _: None)
        stack.push_async_callback(centre.close)
        project = config.clients[CLIENT].projects[PROJECT]
        assert project.chat is not None
        key = (CLIENT, PROJECT, "web")
        channel = maker.make({CLIENT: centre}, key, project.chat, project.chat.channels["web"])

        class Sink:
            def publish(self, record: ChatRecord, event: ChatEvent) -> None:
                site.events.append(event)
                feed.publish(record, event)

        registry = bridge.chats.directory
        assert isinstance(registry, ChatRegistry)
        context = ChatContext(config, {key: channel}, site.store, Sink(), telemetry.append, registry, lambda _: "")
        site.change_box(box_url=f"{bridge.base}/byoc/{CLIENT}/{PROJECT}/web")
        await reception.recover()
        stack.push_async_callback(_end, background)
        stack.push_async_callback(reception.suspend)
        yield running


async def _end(background: BackgroundTasks) -> None:
    background.cancel()
    await background.wait()


def _config(site: Site, public_url: str) -> Config:
    demo = DEMO_TENANT
    cxone = {
        "issuer": site.url,
        "client_id": demo.client_id,
        "client_secret": demo.client_secret,
        "access_key_id": demo.access_key_id,
        "access_key_secret": demo.access_key_secret,
    }
    chat = {"show_agent": True, "allow_private_addresses": True, **site.chat, "channels": {"web": site.channel}}
    project = {"api_keys": [KEY], "chat": chat}
    return Config.model_validate(
        {
            "http": {"public_url": public_url} if public_url else {},
            "clients": {CLIENT: {"cxone": cxone, "projects": {PROJECT: project}}},
        }
    )


def text(content: str) -> Content:
    """Return the content of a text."""
    return Content.of_text(content)
