"""A client of the simulated chat gateway, over a real WebSocket."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from sipbridge.simulators.cxone.digital.gateway.channels import BRAND_ID, MESSAGING

Frame = dict[str, Any]


def new_id() -> str:
    return str(uuid.uuid4())


def query(channel: str = MESSAGING.id, customer: str = "customer-1", **more: str) -> dict[str, str]:
    """The query of a socket of a channel without secured sessions; "" leaves a parameter out."""
    given = {
        "brandId": str(BRAND_ID),
        "channelId": channel,
        "visitorId": "visitor-1",
        "sdkPlatform": "web",
        "sdkVersion": "3.3.0",
        "v": "4.74",
        "customerId": customer,
    } | more
    return {name: value for name, value in given.items() if value}


class ChatClient:
    """A socket. Frames that are not asked for stay in `received`."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, channel: str, customer: str, *, spelling: str = "consumer"
    ) -> None:
        self.socket = socket
        self.received: list[Any] = []
        self._channel = channel
        self._customer = customer
        self._spelling = spelling  # "consumer" is web's, "customer" mobile's

    async def send(self, event_type: str, data: Mapping[str, Any], **changes: object) -> str:
        """Send an event and return its eventId. `changes` replace parts of the frame."""
        event_id = new_id()
        await self.socket.send_str(json.dumps(self.frame(event_type, data, event_id) | changes))
        return event_id

    def frame(self, event_type: str, data: Mapping[str, Any], event_id: str) -> Frame:
        """Return the frame of an event."""
        identity = {"idOnExternalPlatform": self._customer, "firstName": "Grace", "lastName": "Hopper"}
        return {
            "action": "register" if event_type == "AuthorizeCustomer" else "chatWindowEvent",
            "eventId": event_id,
            "payload": {
                "eventType": event_type,
                "brand": {"id": BRAND_ID},
                "channel": {"id": self._channel},
                f"{self._spelling}Identity": identity,
                "visitor": {"id": "visitor-1"},
                "destination": {"id": "destination-1"},
                "visit": {},
                "data": data,
            },
        }

    async def request(self, event_type: str, data: Mapping[str, Any], **changes: object) -> Any:  # noqa: ANN401 (JSON)
        """Send an event and return the frame with its eventId."""
        event_id = await self.send(event_type, data, **changes)
        return await self.find(lambda frame: isinstance(frame, dict) and frame.get("eventId") == event_id)

    async def authorize(self, **data: object) -> Any:  # noqa: ANN401 (JSON)
        """Send AuthorizeCustomer and return the reply."""
        given = {
            "authorization": {"authorizationCode": None},
            "disableChannelInfo": True,
            "sdkPlatform": "web",
            "sdkVersion": "3.3.0",
        }
        return await self.request("AuthorizeCustomer", given | data)

    def message(self, thread: str, text: str = "Hello", **changes: object) -> Frame:
        """Return the data of SendMessage."""
        fields = {"customFields": [{"ident": "reason", "value": "billing"}]}
        contact = "consumerContact" if self._spelling == "consumer" else "contact"
        return {
            "thread": {"idOnExternalPlatform": thread, "threadName": "Help"},
            "messageContent": {"type": "TEXT", "payload": {"text": text}},
            "idOnExternalPlatform": new_id(),
            self._spelling: {"customFields": [{"ident": "tier", "value": "gold"}]},
            contact: fields,
            "attachments": [],
            "browserFingerprint" if self._spelling == "consumer" else "deviceFingerprint": {"language": "en"},
        } | changes

    async def say(self, thread: str, text: str = "Hello", **changes: object) -> Any:  # noqa: ANN401 (JSON)
        """Send a message and return the reply."""
        return await self.request("SendMessage", self.message(thread, text, **changes))

    async def push(self, event_type: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the next push of a type."""
        return await self.find(lambda frame: isinstance(frame, dict) and frame.get("eventType") == event_type)

    async def find(self, matches: Callable[[Any], bool]) -> Any:  # noqa: ANN401 (JSON)
        """Return the first frame that matches, of those received and to come."""
        for index, frame in enumerate(self.received):
            if matches(frame):
                del self.received[index]
                return frame
        async with asyncio.timeout(5):
            while not matches(frame := await self.next()):
                self.received.append(frame)
        return frame

    async def next(self) -> Any:  # noqa: ANN401 (JSON)
        """Return the next frame."""
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def types(self) -> list[str]:
        """Return the types of all frames until the pong of a heartbeat, those received before first."""
        await self.socket.send_str('{"action":"heartbeat"}')
        await self.find(lambda frame: frame == "pong")
        found = [type_of(frame) for frame in self.received]
        self.received.clear()
        return found

    async def closed(self) -> int | None:
        """Wait for the end of the socket and return its code."""
        async with asyncio.timeout(5):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                self.received.append(json.loads(message.data))
        return self.socket.close_code


def type_of(frame: Any) -> str:  # noqa: ANN401 (JSON)
    """The type of a push or a reply, or the code of an error."""
    if not isinstance(frame, dict):
        return str(frame)
    if "error" in frame:
        return str(frame["error"]["errorCode"])
    return str(frame.get("eventType") or frame["postback"]["eventType"])


@asynccontextmanager
async def connected(
    http: aiohttp.ClientSession,
    channel: str = MESSAGING.id,
    customer: str = "customer-1",
    *,
    spelling: str = "consumer",
    authorize: bool = True,
    **more: str,
) -> AsyncIterator[ChatClient]:
    """Open a socket, and authorize it unless the channel has secured sessions."""
    async with http.ws_connect("/", params=query(channel, customer, **more)) as socket:
        client = ChatClient(socket, channel, customer or "customer-1", spelling=spelling)
        if authorize:
            reply = await client.authorize()
            assert reply["postback"]["eventType"] == "ConsumerAuthorized"
        yield client


async def post(http: aiohttp.ClientSession, path: str, body: object) -> Any:  # noqa: ANN401 (JSON)
    async with http.post(f"/simulator/digital/{path}", json=body) as response:
        assert response.status in (200, 201), await response.text()
        return await response.json()


async def fault(http: aiohttp.ClientSession, on: str, **what: object) -> None:
    await post(http, "faults", {"on": on, **what})


async def settings(http: aiohttp.ClientSession, **changes: object) -> None:
    async with http.patch("/simulator/digital/settings", json=changes) as response:
        assert response.status == 200, await response.text()
