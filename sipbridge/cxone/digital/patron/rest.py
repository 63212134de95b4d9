"""The patron chat API, and the token of an access key.

Sources: NICE's developer pages on the patron API, and public integrations (ViaSay, Kore.ai, IBM, Inbenta).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import orjson

from sipbridge.chats.ports import Availability
from sipbridge.config import PatronChannelConfig
from sipbridge.cxone.digital.patron.hours import is_open
from sipbridge.cxone.digital.patron.inbound import message_of
from sipbridge.cxone.digital.values import Json, list_of, object_of, seconds_of, text_of
from sipbridge.errors import CxoneError, HttpError, HttpNotReached
from sipbridge.http import HttpClient, Response

REQUEST_SECONDS = 10.0
POLL_SECONDS = 30
COUNT_SECONDS = 2.0  # for the queue to be counted: the start waits for it
CHAT_MEDIA = 3
_RENEW_AT = 0.8  # of a token's life
_DEFAULT_LIFE_SECONDS = 3600.0
_UNAUTHORIZED = (401, 403)
_POSTPONED = (429, 503)
_LOGGED_IN = 1  # agentStateId of an agent who is available


class PatronRest:
    """The requests of one point of contact. They raise `HttpError` without a response, `HttpNotReached` if not sent."""

    def __init__(
        self, config: PatronChannelConfig, http: HttpClient, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._http = http
        self._clock = clock
        self._token = ("", 0.0)
        self._refreshing = asyncio.Lock()

    async def start(self, parameters: Sequence[str], from_address: str) -> Response:
        """Start a chat: it waits for a human agent from now on."""
        body: Json = {
            "pointOfContact": self._config.poc_url.point_of_contact,
            "mediaType": CHAT_MEDIA,
            "parameters": list(parameters),
        }
        if from_address:
            body["fromAddress"] = from_address
        return await self._send("POST", "/contacts/chats", body)

    async def poll(self, session: str) -> Response:
        """Wait for what happens, at most half a minute."""
        path = f"/contacts/chats/{quote(session, safe='')}?timeout={POLL_SECONDS}"
        return await self._send("GET", path, seconds=POLL_SECONDS + REQUEST_SECONDS)

    async def send_text(self, session: str, label: str, text: str) -> Response:
        """Send a text of the customer."""
        path = f"/contacts/chats/{quote(session, safe='')}/send-text"
        return await self._send("POST", path, {"label": label, "message": text})

    async def show_typing(self, session: str, label: str, *, on: bool) -> Response:
        """Show the human agent that the customer types."""
        query = urlencode({"isTyping": str(on), "isTextEntered": str(on), "label": label})
        return await self._send("POST", f"/contacts/chats/{quote(session, safe='')}/typing?{query}", {})

    async def end(self, session: str) -> Response:
        """End a chat on behalf of the customer."""
        return await self._send("DELETE", f"/contacts/chats/{quote(session, safe='')}")

    # ------------------------------------------------------------ availability

    async def availability(self) -> Availability:
        """Ask for human agents, by the skill or by the states of the agents, and for the hours. Never raises."""
        try:
            if self._config.hours is not None and not await self._is_open(self._config.hours):
                return Availability("offline", reason="outside the hours of operation")
            if self._config.skill is not None:
                return await self._by_skill(self._config.skill)
            return await self._by_states()
        except HttpError as error:
            return Availability("unknown", reason=str(error))

    async def queue_count(self) -> int | None:
        """Return the number of customers who wait for the skill; None without a skill, or if CXone does not say soon.

        CXone reports no position of a chat that waits, so integrations count the queue before its start.
        """
        if self._config.skill is None:
            return None
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                return _sum(await self._activities(self._config.skill), "queueCount")
        except (HttpError, TimeoutError):
            return None

    async def _by_skill(self, skill: str) -> Availability:
        activities = await self._activities(skill)
        available, queued = _sum(activities, "agentsAvailable"), _sum(activities, "queueCount")
        if available or _sum(activities, "agentsLoggedIn"):
            return Availability("online", available, queued)
        return Availability("offline", available, queued, "no human agent is logged in")

    async def _activities(self, skill: str) -> list[Json]:
        found = list_of((await self._get(f"/skills/{skill}/activity")).get("skillActivity"))
        if not found:
            raise CxoneError("CXone knows no activity of this skill")
        return found

    async def _by_states(self) -> Availability:
        states = list_of((await self._get("/agents/states")).get("agentStates"))
        available = sum(_count(each.get("agentStateId")) == _LOGGED_IN for each in states)
        if available:
            return Availability("online", available)
        return Availability("offline", 0, reason="no human agent is available")

    async def _is_open(self, hours: str) -> bool:
        """True if the profile of hours says that it is open now, or does not say."""
        found = object_of((await self._get("/hours-of-operation")).get("resultSet"))
        for profile in list_of(found.get("hoursOfOperationProfiles")):
            if text_of(profile.get("profileId")) == hours:
                return is_open(profile, datetime.now(ZoneInfo(self._config.time_zone)))
        raise CxoneError("CXone knows no hours of operation with this id")

    async def _get(self, path: str) -> Json:
        response = await self._send("GET", path)
        if response.status != 200:  # noqa: PLR2004 (OK)
            raise CxoneError(f"CXone responded with {response.status}")
        return response.json_object("the patron API")

    # ------------------------------------------------------------ requests

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None = None, seconds: float = REQUEST_SECONDS
    ) -> Response:
        """Send a request; if CXone refuses the token, once more with another one: it has done nothing then."""
        token = await self._access()
        response = await self._send_with(token, method, path, body, seconds)
        if response.status not in _UNAUTHORIZED:
            return response
        if self._token[0] == token:
            self._token = ("", 0.0)
        return await self._send_with(await self._access(), method, path, body, seconds)

    async def _send_with(
        self, token: str, method: str, path: str, body: Mapping[str, object] | None, seconds: float
    ) -> Response:
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._http.request(
            method,  # type: ignore[arg-type]  # one of the literals above
            f"{self._config.api}{path}",
            headers=headers,
            body=b"" if body is None else orjson.dumps(body),
            seconds=seconds,
            max_bytes=1024 * 1024,
        )

    async def _access(self) -> str:
        """Return a token of the access key. Raises `HttpNotReached`: nothing is sent without one."""
        try:
            return await self._token_of_key()
        except HttpError as error:
            raise HttpNotReached(str(error)) from error

    async def _token_of_key(self) -> str:
        async with self._refreshing:
            token, until = self._token
            if token and self._clock() < until:
                return token
            body = orjson.dumps(
                {
                    "accessKeyId": self._config.access_key_id,
                    "accessKeySecret": self._config.access_key_secret.get_secret_value(),
                }
            )
            response = await self._http.request(
                "POST",
                self._config.token,
                headers={"Content-Type": "application/json"},
                body=body,
                seconds=REQUEST_SECONDS,
            )
            if response.status != 200:  # noqa: PLR2004 (OK)
                raise CxoneError(f"the token service responded with {response.status}; check the access key")
            given = response.json_object("the token service")
            token, life = text_of(given.get("access_token")), seconds_of(given.get("expires_in"))
            if not token.isascii() or not token.isprintable() or not token:
                raise CxoneError("the token service gave no token")
            self._token = (token, self._clock() + (life or _DEFAULT_LIFE_SECONDS) * _RENEW_AT)
            return token


def is_postponed(response: Response) -> bool:
    """True if CXone is too busy for a request and has done nothing: it may be sent again."""
    return response.status in _POSTPONED


def messages_of(response: Response) -> tuple[str, list[Json]]:
    """Return the session id for the next request, empty if there is none, and the messages of a poll.

    A chat that is over may show in the error of any status.
    """
    try:
        body = response.json_object("a poll")
    except HttpError:
        return "", []
    if "SessionEnded" in text_of(body.get("error_description")):
        return "", [{"Type": "Status", "Status": "Disconnected"}]
    chat = object_of(body.get("chatSession"))
    messages = [message_of(each) for each in list_of(body.get("messages"))]
    return text_of(chat.get("id")) or text_of(body.get("chatSession")), messages


def _sum(activities: Sequence[Json], name: str) -> int:
    return sum(_count(each.get(name)) for each in activities)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
