"""CXone as the caller of a box: tokens, messages of the human agent, and typing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from sipbridge.simulators.cxone.digital.byoc.channels import ByocChannel
from sipbridge.simulators.cxone.digital.byoc.files import expiring
from sipbridge.simulators.cxone.digital.byoc.log import CallLog, CallRecord
from sipbridge.simulators.cxone.digital.byoc.wire import attachments_of, content_of
from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.events import AgentTyping, Event, MessageAdded
from sipbridge.simulators.cxone.digital.gateway.wire import a_user
from sipbridge.simulators.cxone.digital.messages import HumanAgent, Message

BRAND = {"id": 1234}
_UNAUTHORIZED = 401
_FIRST_SERVER_ERROR = 500


class BoxCaller:
    """Calls the boxes: for each contact one call after the other, in the order of its events.

    `named` gets each message to which the box has given an id.
    """

    def __init__(
        self,
        channels: dict[str, ByocChannel],
        announce: Callable[[str], None],
        named: Callable[[Conversation, Message], None],
    ) -> None:
        self.log = CallLog()
        self._channels = channels
        self._announce = announce
        self._named = named
        self._tokens: dict[str, str] = {}
        self._waiting: dict[Conversation, deque[Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    def observe(self, contact: Conversation, event: Event) -> None:
        """Queue the call that an event of a contact causes, if any."""
        match event:
            case MessageAdded(message) if message.direction == "outbound" and message.author is not None:
                pass
            case AgentTyping():
                pass
            case _:
                return
        if contact in self._waiting:
            self._waiting[contact].append(event)
            return
        self._waiting[contact] = deque([event])
        task = asyncio.get_running_loop().create_task(self._make_calls(contact))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def expire_tokens(self) -> None:
        """Forget the tokens of all boxes."""
        self._tokens.clear()

    async def close(self) -> None:
        """Stop the calls in progress."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _make_calls(self, contact: Conversation) -> None:
        waiting = self._waiting[contact]
        try:
            while waiting:
                channel = self._channels.get(contact.channel)
                if channel is not None and channel.box_url is not None:
                    await self._call(channel, contact, waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[contact]

    async def _call(self, channel: ByocChannel, contact: Conversation, event: Event) -> None:
        match event:
            case MessageAdded(message):
                await self._send_message(channel, contact, message)
            case AgentTyping(agent, on) if channel.typing:
                thread = quote(contact.thread_id, safe="")
                path = f"/1.0/channel/{quote(channel.id, safe='')}/thread/{thread}/sender-action"
                action = "isTypingOn" if on else "isTypingOff"
                body = {"brand": BRAND, "senderAction": {"action": action}, "authorUser": a_user(agent)}
                await self._authorized(channel, contact, "typing", path, body)
            case _:
                pass

    # ------------------------------------------------------------ a message of the human agent

    async def _send_message(self, channel: ByocChannel, contact: Conversation, message: Message) -> None:
        """Give a message to the box, and again if its response was not seen and the channel repeats."""
        body = _outbound(contact, message, message.author, channel.link_seconds)
        if channel.outbound_api:
            path = f"/2.0/channel/{quote(channel.id, safe='')}/outbound"
        else:
            path = f"/1.0/posts/{quote(contact.thread_id, safe='')}/messages"
        for attempt in range(channel.repeats + 1):
            if attempt:
                await asyncio.sleep(channel.repeat_seconds)
                channel = self._channels.get(channel.id, channel)
            status, response = await self._authorized(channel, contact, "message", path, body)
            if status is not None and status < _FIRST_SERVER_ERROR:
                given = _given_id(response, outbound_api=channel.outbound_api) if status == 200 else None  # noqa: PLR2004 (OK)
                if given is not None:
                    message.external_id = given
                    self._named(contact, message)
                    contact.mark([message], "delivered")
                elif status == 200:  # noqa: PLR2004 (the same)
                    self._note(channel, contact, "message", path, body, "bad_response")
                return

    def _sees_response(self, channel: ByocChannel) -> bool:
        """True unless the channel is to lose this response."""
        current = self._channels.get(channel.id, channel)
        if not current.lose_responses:
            return True
        changed = {"lose_responses": current.lose_responses - 1}
        self._channels[channel.id] = current.model_copy(update=changed)
        return False

    # ------------------------------------------------------------ the token

    async def _authorized(
        self, channel: ByocChannel, contact: Conversation, kind: str, path: str, body: Mapping[str, Any]
    ) -> tuple[int | None, object]:
        """Call with the token that CXone has. A 401 makes it get another one and call once more.

        If the box has no token to give just now, nothing is known about the call itself: its status is that failure's.
        """
        status, response = await self._post(channel, contact, kind, path, body)
        if status != _UNAUTHORIZED:
            return status, response
        token_status = await self._get_token(channel, contact)
        if token_status is None or token_status >= _FIRST_SERVER_ERROR:
            return token_status, None
        if channel.id not in self._tokens:
            return status, response
        return await self._post(channel, contact, kind, path, body)

    async def _get_token(self, channel: ByocChannel, contact: Conversation) -> int | None:
        """Ask the box for a token, and keep it if there is one; return the status, or None without a response."""
        path = "/1.0/token"
        body = {
            "grant_type": "client_credentials",
            "client_id": channel.client_id,
            "client_secret": channel.client_secret,
        }
        self._tokens.pop(channel.id, None)
        status, response = await self._post(channel, contact, "token", path, body)
        if status != 200 or not isinstance(response, dict):  # noqa: PLR2004 (OK)
            return status
        token, kind, seconds = (response.get(name) for name in ("access_token", "token_type", "expires_in"))
        is_valid = isinstance(token, str) and token and str(kind).lower() == "bearer" and isinstance(seconds, int)
        if not is_valid:
            self._note(channel, contact, "token", path, {}, "bad_response")
            return status
        self._tokens[channel.id] = str(token)
        return status

    # ------------------------------------------------------------ the request

    async def _post(
        self, channel: ByocChannel, contact: Conversation, kind: str, path: str, body: Mapping[str, Any]
    ) -> tuple[int | None, object]:
        """Make a call; return the status and the body, or None without a response that CXone saw."""
        self._http = self._http or aiohttp.ClientSession()
        headers = {"Content-Type": "application/json"}
        if kind != "token" and channel.id in self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens[channel.id]}"
        try:
            async with self._http.post(
                f"{channel.box_url}{path}",
                data=orjson.dumps(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=channel.timeout_seconds),
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._note(channel, contact, kind, path, body, "no_response")
            return None, None
        if kind == "message" and response.status != _UNAUTHORIZED and not self._sees_response(channel):
            self._note(channel, contact, kind, path, body, "lost")
            return None, None
        self._note(channel, contact, kind, path, body, str(response.status))
        try:
            return response.status, orjson.loads(content)
        except orjson.JSONDecodeError:
            return response.status, None

    def _note(
        self, channel: ByocChannel, contact: Conversation, kind: str, path: str, body: Mapping[str, Any], result: str
    ) -> None:
        self.log.add(CallRecord(kind, channel.id, contact.thread_id, path, {} if kind == "token" else body, result))
        if not result.startswith("2"):
            self._announce(f"chat {contact.id}: call to the box ({kind}): {result}")


def _outbound(
    contact: Conversation, message: Message, author: HumanAgent | None, link_seconds: float
) -> dict[str, Any]:
    """Return the body of a call with a message. It has no id of the message."""
    attachments = [each | {"url": expiring(each["url"], link_seconds)} for each in attachments_of(message)]
    customer = contact.customer
    recipient = {
        "idOnExternalPlatform": customer.id,
        "name": customer.name,
        "isPrimary": True,
        "isPrivate": False,
    }
    return {
        "brand": BRAND,
        "thread": {"idOnExternalPlatform": contact.thread_id},
        "messageContent": content_of(message),
        "endUserRecipients": [recipient],
        "replyToMessage": None,
        "attachments": attachments,
        "authorUser": a_user(author),
    }


def _given_id(response: object, *, outbound_api: bool) -> str | None:
    """Return the id that the box gave a message; None if the response has not the documented form."""
    match response:
        case {
            "message": {"idOnExternalPlatform": str(given), "createdAtWithMilliseconds": str(at), "url": str()},
            "thread": {"idOnExternalPlatform": str()},
            "recipients": list(),
        } if outbound_api and given and _is_time(at):
            return given
        case {"idOnExternalPlatform": str(given)} if not outbound_api and given:
            return given
        case _:
            return None


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
