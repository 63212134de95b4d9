"""A patron API whose responses a test chooses, in forms that NICE does not document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from sipbridge.aio import BackgroundTasks
from sipbridge.chats.happenings import AgentMessage, ChannelHappening, ChannelStateChanged, resolve
from sipbridge.chats.model import Customer
from sipbridge.config import PatronChannelConfig
from sipbridge.cxone.digital.patron.rest import PatronRest
from sipbridge.cxone.digital.patron.session import PatronSession
from sipbridge.http import HttpClient
from tests.store.chats.chats import make_chat

Reply = Any  # a status with the body as JSON; before it, an event to wait for
WAITING = {"Type": "Status", "Status": "Waiting"}


def says(text: str, label: str = "Ada", party: str = "2") -> dict[str, str]:
    """Return a text of a poll."""
    return {"Type": "Text", "Text": text, "Label": label, "PartyTypeId": party}


@dataclass
class Scripted:
    """A session, its API, and what it reports. Without a response left, polls wait; other requests get 202."""

    replies: dict[str, list[Reply]]
    requests: list[str] = field(default_factory=list)
    happened: list[ChannelHappening] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    session: PatronSession = field(init=False)

    def report(self, happening: ChannelHappening) -> None:
        self.happened.append(happening)
        if isinstance(happening, ChannelStateChanged):
            self.state = dict(happening.state)
            resolve(happening.stored)

    @property
    def texts(self) -> list[str]:
        """The texts of the human agent, each once by its id."""
        return list({each.message_id: each.text for each in self.messages}.values())

    @property
    def messages(self) -> list[AgentMessage]:
        """The messages of the human agent, as often as they were reported."""
        return [each for each in self.happened if isinstance(each, AgentMessage)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 (nothing signals these conditions)
                await asyncio.sleep(0.005)

    async def respond(self, request: web.Request) -> web.Response:
        kind = request.path.rpartition("/")[2] if request.method == "POST" else request.method.lower()
        self.requests.append(f"{kind} {request.path.split('/')[-2 if request.method == 'POST' else -1]}")
        replies = self.replies.get(kind, [])
        if not replies and kind == "get":
            await asyncio.Event().wait()
        if replies and isinstance(replies[0], asyncio.Event):
            await replies.pop(0).wait()
        status, body = replies.pop(0) if replies else (202, {"chatSessionId": "s0", "contactId": "7"})
        return web.Response(status=status) if body is None else web.json_response(body, status=status)


@asynccontextmanager
async def scripted(
    http: HttpClient, state: dict[str, Any] | None = None, **replies: list[Reply]
) -> AsyncIterator[Scripted]:
    """Run a session against responses by kind: `chats`, `get` (polls), `send_text`, `typing`, `delete`."""
    found = Scripted({kind.replace("_", "-"): list(each) for kind, each in replies.items()})
    background = BackgroundTasks()
    app = web.Application()
    app.router.add_post("/token", _give_token)
    app.router.add_route("*", "/api/{path:.*}", found.respond)
    async with TestServer(app) as server:
        settings = {
            "type": "patron",
            "poc_url": "https://chat.example/x.aspx?poc=1&bu=2",
            "access_key_id": "id",
            "access_key_secret": "secret",
            "api_url": str(server.make_url("/api")),
            "token_url": str(server.make_url("/token")),
        }
        rest = PatronRest(PatronChannelConfig.model_validate(settings), http)
        customer = Customer(first_name="Tom &", last_name="Co")
        record = make_chat(channel_state=state or {}, customer=customer)
        found.session = PatronSession(rest, record, found.report, lambda *_: None, background.start, lambda _: None)
        running = asyncio.create_task(found.session.run())
        try:
            yield found
        finally:
            running.cancel()
            background.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _give_token(_request: web.Request) -> web.Response:
    return web.json_response({"access_token": "t"})
