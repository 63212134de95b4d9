"""A chat gateway in memory that follows a script, and a session over it."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from sipbridge.chats.attachments import AttachmentContent
from sipbridge.chats.happenings import ChannelHappening
from sipbridge.chats.model import Attachment, ChatRecord, ChatState, Customer
from sipbridge.chats.ports import Availability, Outgoing
from sipbridge.cxone.digital.dfo.connection import Connection, GatewayLost
from sipbridge.cxone.digital.dfo.frames import Person, interpret
from sipbridge.cxone.digital.dfo.parts import GatewayParts
from sipbridge.cxone.digital.dfo.rest import ChannelInfo, SessionToken
from sipbridge.cxone.digital.dfo.session import DfoSession
from sipbridge.errors import AttachmentError, ChannelRefused, HttpError
from sipbridge.handoffs.record import HandoffRecord, HandoffState

Json = dict[str, Any]
Action = str | Json
T = TypeVar("T")
CONTACT = "4711"


def record(**changes: object) -> ChatRecord:
    """Return a chat that was just requested."""
    now = datetime.now(UTC)
    handoff = HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id="c1",
        destination="web",
        method="chat",
        reason="web",
        requested_by="bot",
        handoff_at=now,
    )
    made = ChatRecord(
        uid="6f1d1c9e-2f0b-4a55-9d8c-1d2f4a5b6c7d",
        chat_id="c1",
        client="acme",
        project="support",
        channel="web",
        digest="d",
        customer=Customer(id="customer-1", first_name="Ann"),
        state=ChatState.REQUESTED,
        started_at=now,
        handoff=handoff,
        custom_fields={"reason": "billing"},
    )
    return made.model_copy(update=changes)


@dataclass
class Gateway:
    """The gateway of one chat. It is `GatewayRest` and `Opener` of the session, too.

    `script` has the actions for the next events of a type: `lose` (no reply), `drop` (the connection ends before the
    event is recorded), `drop_recorded` (after that), `error CODE`, or the data of the reply. `thread` are the
    messages, oldest first.
    """

    info_found: ChannelInfo | None = field(default_factory=lambda: ChannelInfo(livechat=False, secured=False))
    script: defaultdict[str, deque[Action]] = field(default_factory=lambda: defaultdict(deque))
    thread: list[Json] = field(default_factory=list)
    status: str = "open"
    assignee: Json | None = None
    page_size: int = 30
    is_down: bool = False
    is_read: bool = True  # the session reads what the newest connection sends
    online: str = "online"
    frames: list[Json] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    tokens: int = 0
    info_refusals: int = 0  # of the next requests for the settings
    token_refusals: int = 0
    token_seconds: float = 3600
    uploads: list[str] = field(default_factory=list)
    bodies: dict[str, Json] = field(default_factory=dict)
    connection: Connection | None = None

    # ------------------------------------------------------------ GatewayRest

    async def info(self) -> ChannelInfo:
        if self.info_refusals:
            self.info_refusals -= 1
            raise ChannelRefused("unknown_channel")
        if self.info_found is None:
            raise HttpError("the settings are not there")
        return self.info_found

    async def availability(self) -> Availability:
        return Availability(self.online)  # type: ignore[arg-type]  # one of its words

    async def session_token(self, _person: Person) -> SessionToken:
        if self.token_refusals:
            self.token_refusals -= 1
            raise ChannelRefused("not_authorized")
        self.tokens += 1
        return SessionToken(f"token-{self.tokens}", self.token_seconds)

    async def upload(self, content: bytes, name: str, media_type: str) -> Attachment:
        self.uploads.append(name)
        return Attachment(url=f"https://cxone/{len(content)}", name=name, media_type=media_type)

    def message_path(self, message_id: str) -> str:
        return f"/messages/{message_id}"

    async def message(self, path: str, token: str) -> Json:
        assert token == f"token for {path}"
        return self._body(path)

    async def event(self, url: str) -> object:
        await asyncio.sleep(0)
        return self._body(url)

    def _body(self, key: str) -> Json:
        if key not in self.bodies:
            raise HttpError("there is no such body")
        return self.bodies[key]

    # ------------------------------------------------------------ Opener

    may_send = None

    async def open(self, query: str, connection: Connection) -> None:
        self.queries.append(query)
        if self.is_down:
            raise GatewayLost("it is down")
        self.connection, self.is_read = connection, True
        connection.on_ws_connected(_Transport(self, connection))  # type: ignore[arg-type]  # as much of it as is used

    # ------------------------------------------------------------ the script

    @property
    def types(self) -> list[str]:
        """The types of the events that were received."""
        return [frame["payload"]["eventType"] for frame in self.frames]

    def sent_texts(self) -> list[str]:
        """The texts of the thread."""
        return [message["messageContent"]["payload"]["text"] for message in self.thread]

    def push(self, event_type: str, **data: object) -> None:
        """Send a push."""
        assert self.connection is not None
        self.connection.deliver(interpret({"eventId": "1", "eventType": event_type, "data": data}))

    def say(self, text: str, *, push: bool = True, **fields: object) -> Json:
        """Add a message of the human agent, and push it."""
        message = a_message(f"s{len(self.thread)}", text, **fields)
        self.thread.append(message)
        if push:
            self.push("MessageCreated", case={"id": CONTACT}, message=message)
        return message

    def drop(self) -> None:
        """End the connection."""
        assert self.connection is not None
        self.connection.close()

    def receive(self, connection: Connection, frame: Json) -> None:
        if frame["action"] == "heartbeat":
            return
        self.frames.append(frame)
        kind = frame["payload"]["eventType"]
        queued = self.script[kind]
        action = queued.popleft() if queued else "reply"
        if action == "drop":
            connection.close()
            return
        if isinstance(action, str) and action.startswith("error "):
            connection.deliver(interpret({"eventId": frame["eventId"], "error": {"errorCode": action[6:]}}))
            return
        reply = self._process(kind, frame["payload"]["data"])
        if action == "drop_recorded":
            connection.close()
        elif action != "lose" and reply is not None:
            data = action if isinstance(action, dict) else reply
            postback = {"eventType": f"{kind}Done", "data": data}
            connection.deliver(interpret({"eventId": frame["eventId"], "postback": postback}))

    def _process(self, kind: str, data: Json) -> Json | None:
        match kind:
            case "SendMessage":
                sent = {"id": f"s{len(self.thread)}", "direction": "inbound", **data}
                self.thread.append(sent)
            case "RecoverThread" | "RecoverLivechat":
                return self._state()
            case "LoadMoreMessages":
                first = int(data["scrollToken"])
                return {"messages": self._page(first), "scrollToken": self._scroll_token(first)}
            case "GenerateAuthorizationToken":
                return {"authorizationToken": {"token": f"token for {data['url']}"}}
            case "SenderTypingStarted" | "SenderTypingEnded":
                return None
        return {}

    def _state(self) -> Json:
        return {
            "contact": {"id": CONTACT, "status": self.status},
            "inboxAssignee": self.assignee,
            "messages": self._page(0),
            "messagesScrollToken": self._scroll_token(0),
            "thread": {},
        }

    def _scroll_token(self, first: int) -> str | None:
        following = first + self.page_size
        return str(following) if following < len(self.thread) else None

    def _page(self, first: int) -> list[Json]:
        return self.thread[::-1][first : first + self.page_size]


class _Transport:
    """As much of picows' transport as a connection uses."""

    is_close_frame_sent = False

    def __init__(self, gateway: Gateway, connection: Connection) -> None:
        self._gateway = gateway
        self._connection = connection
        self.is_disconnected = False
        self.underlying_transport = self

    def is_closing(self) -> bool:
        return self.is_disconnected

    def pause_reading(self) -> None:
        self._gateway.is_read = False

    def resume_reading(self) -> None:
        self._gateway.is_read = True

    def send(self, _kind: object, frame: bytes) -> None:
        # As over a socket: the reply comes in a later turn of the loop.
        asyncio.get_running_loop().call_soon(self._gateway.receive, self._connection, orjson.loads(frame))

    def send_close(self, _code: object) -> None:
        self.is_close_frame_sent = True

    def disconnect(self) -> None:
        self.is_disconnected = True


def a_message(message_id: str, text: str, **fields: object) -> Json:
    """Return a message of the human agent."""
    return {
        "id": message_id,
        "idOnExternalPlatform": f"x-{message_id}",
        "direction": "outbound",
        "messageContent": {"type": "TEXT", "payload": {"text": text}},
        "createdAt": "2026-11-28T12:00:00+00:00",
        "attachments": [],
        "hasAdditionalMessageContent": False,
        **fields,
    }


@dataclass
class Run:
    """A session and what it reported."""

    session: DfoSession
    gateway: Gateway
    happened: list[ChannelHappening]
    faults: list[str]
    running: asyncio.Task[None]

    def of(self, kind: type[T]) -> list[T]:
        """Return what happened of a kind."""
        return [happening for happening in self.happened if isinstance(happening, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 (nothing signals these conditions)
                await asyncio.sleep(0.001)

    async def connected(self, times: int = 1) -> None:
        """Wait until the session has opened so many connections and uses the last one."""
        await self.until(lambda: len(self.gateway.queries) >= times)
        await self.until(self.session._connected.is_set)  # noqa: SLF001 (nothing else shows it)

    async def send(self, text: str, number: int = 1, **more: Any) -> tuple[str, str]:  # noqa: ANN401 (as `Outgoing`)
        """Send a message, and return its fate."""
        status, reason = await self.session.send(Outgoing(f"own-{number}", text, **more))
        return status.value, reason


@asynccontextmanager
async def running(
    gateway: Gateway | None = None,
    chat: ChatRecord | None = None,
    *,
    resumed: bool = False,
    known: Collection[str] = (),
    recoveries: asyncio.Semaphore | None = None,
) -> AsyncIterator[Run]:
    """Run a session until the block ends. The bot has the `known` messages from an earlier run."""
    gateway = gateway or Gateway()
    happened: list[ChannelHappening] = []
    faults: list[str] = []

    async def fetch(attachment: Attachment) -> AttachmentContent:
        if "missing" in attachment.url:
            raise AttachmentError("attachment_unavailable", "it is not there")
        return AttachmentContent(b"content", attachment.media_type)

    tasks: set[asyncio.Task[None]] = set()
    parts = GatewayParts(
        1234,
        "chat_1",
        gateway,  # type: ignore[arg-type]  # as much of it as is used
        gateway,  # type: ignore[arg-type]
        fetch,
        lambda word, _text: faults.append(word),
        lambda work: tasks.add(asyncio.create_task(work)),
        recoveries or asyncio.Semaphore(),
    )
    session = DfoSession(
        parts, chat or record(), resumed=resumed, report=happened.append, is_new=lambda each: each not in known
    )
    task = asyncio.create_task(session.run())
    try:
        yield Run(session, gateway, happened, faults, task)
    finally:
        task.cancel()
        await asyncio.wait([task])
