"""The patron API: the token of an access key, chats, and the availability of human agents."""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sipbridge.simulators.cxone.digital.messages import Content, Customer
from sipbridge.simulators.cxone.digital.patron.chat import PatronChat
from sipbridge.simulators.cxone.digital.patron.patron import Patron
from sipbridge.simulators.cxone.digital.patron.settings import Point
from sipbridge.simulators.cxone.digital.patron.wire import Json, a_profile
from sipbridge.simulators.cxone.endpoints import STATE, Refused, authorize, explain, json_response
from sipbridge.simulators.cxone.models import Endpoint, Tenant

PATRON = web.AppKey("patron", Patron)
BASE = "/inContactAPI/services"
TOKEN_PATH = "/authentication/v1/token/access-key"  # noqa: S105 (a path)
MAX_TIMEOUT_SECONDS = 60
_ROOT = "/{api:(?i:inContactAPI)}/{services:(?i:services)}/{version}"
_VERSION = re.compile(r"v\d{1,3}\.\d{1,3}", re.IGNORECASE)

M = TypeVar("M", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class AccessKey(_Model):
    """The body of the token request."""

    accessKeyId: str  # noqa: N815 (CXone's names, here and below)
    accessKeySecret: str  # noqa: N815


class NewChat(_Model):
    """The start of a chat."""

    pointOfContact: Annotated[str, Field(min_length=1)]  # noqa: N815
    mediaType: Literal[3]  # noqa: N815
    parameters: list[str] = []
    fromAddress: str = ""  # noqa: N815
    chatRoomId: str = ""  # noqa: N815


class NewText(_Model):
    """A text of the customer."""

    label: Annotated[str, Field(min_length=1)]
    message: Annotated[str, Field(min_length=1)]


def routes() -> list[web.RouteDef]:
    """Return the routes, each named after its endpoint. The first parts of their paths match in any case."""
    chat = f"{_ROOT}/contacts/chats/{{session}}"
    return [
        web.post(TOKEN_PATH, issue_token, name=Endpoint.PATRON_TOKEN),
        web.post(f"{_ROOT}/contacts/chats", start, name=Endpoint.PATRON_START),
        web.get(chat, poll, name=Endpoint.PATRON_POLL, allow_head=False),
        web.post(f"{chat}/send-text", send_text, name=Endpoint.PATRON_TEXT),
        web.post(f"{chat}/typing", show_typing, name=Endpoint.PATRON_TYPING),
        web.delete(chat, end, name=Endpoint.PATRON_END),
        web.get(f"{_ROOT}/skills/{{skill}}/activity", show_activity, name=Endpoint.PATRON_SKILL),
        web.get(f"{_ROOT}/agents/states", list_states, name=Endpoint.PATRON_STATES),
        web.get(f"{_ROOT}/hours-of-operation", list_hours, name=Endpoint.PATRON_HOURS),
    ]


# ------------------------------------------------------------ the request


def _patron(request: web.Request) -> Patron:
    """Return the state for a request whose token and version are valid."""
    authorize(request)
    if not _VERSION.fullmatch(request.match_info["version"]):
        raise Refused(404, "not_found", "the version of the API must look like v12.0")
    return request.app[PATRON]


def _chat(request: web.Request, patron: Patron) -> PatronChat:
    """Return the chat of a request, which must have the newest session id."""
    chat = patron.find(request.match_info["session"])
    if chat is None:
        raise Refused(404, "not_found", "no such chat session, or not its newest id")
    return chat


def _live_chat(request: web.Request, patron: Patron) -> PatronChat:
    chat = _chat(request, patron)
    if chat.is_over or chat.contact is None:
        raise Refused(404, "not_found", "the chat session has ended")
    return chat


async def _body(request: web.Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise Refused(400, "bad_request", explain(error)) from None


# ------------------------------------------------------------ the token


async def issue_token(request: web.Request) -> web.Response:
    """Issue a token for an access key."""
    state, key = request.app[STATE], await _body(request, AccessKey)
    tenant = next((each for each in state.tenants if _is_key_of(key, each)), None)
    if tenant is None:
        raise Refused(401, "invalid_grant", "no such access key")
    token = state.issue_token(tenant)
    return json_response({"access_token": token, "token_type": "Bearer", "expires_in": state.token_seconds})


def _is_key_of(key: AccessKey, tenant: Tenant) -> bool:
    given = f"{key.accessKeyId}\n{key.accessKeySecret}"
    return hmac.compare_digest(given.encode(), f"{tenant.access_key_id}\n{tenant.access_key_secret}".encode())


# ------------------------------------------------------------ chats


async def start(request: web.Request) -> web.Response:
    """Start a chat; 202."""
    patron, body = _patron(request), await _body(request, NewChat)
    point = patron.points.get(body.pointOfContact)
    if point is None:
        raise Refused(400, "bad_request", "pointOfContact: there is no such point of contact")
    chat = patron.start(point, body.parameters, body.fromAddress)
    return json_response({"chatSessionId": chat.session, "contactId": chat.contact_id}, status=202)


async def poll(request: web.Request) -> web.Response:
    """Wait for messages: 200 with all of them and another session id, 304 without any, 404 once the chat is over."""
    patron = _patron(request)
    seconds = _timeout(request, patron.settings.min_timeout_seconds)
    repeated = patron.find_previous(request.match_info["session"]) if patron.settings.keeps_unread else None
    if repeated is not None:
        return _batch(repeated, repeated.batch)
    chat = _chat(request, patron)
    await chat.wait(seconds)
    if request.transport is None or request.transport.is_closing():  # the client has gone: its messages wait
        return web.Response()
    if request.match_info["session"] != chat.session:  # another poll got the messages
        raise Refused(404, "not_found", "no such chat session, or not its newest id")
    messages = chat.take()
    if messages:
        return _batch(chat, messages)
    if not chat.is_over:
        return web.Response(status=304)
    if patron.settings.ended_form == "session_ended":
        return json_response({"error": "bad_request", "error_description": "SessionEnded"}, status=400)
    raise Refused(404, "not_found", "the chat session has ended")


def _batch(chat: PatronChat, messages: list[Json]) -> web.Response:
    return json_response({"chatSession": chat.session, "messages": messages})


def _timeout(request: web.Request, least: int) -> int:
    given = request.query.get("timeout", "")
    if not given.isdecimal() or not least <= int(given) <= MAX_TIMEOUT_SECONDS:
        raise Refused(400, "bad_request", f"timeout must be {least} to {MAX_TIMEOUT_SECONDS} seconds")
    return int(given)


async def send_text(request: web.Request) -> web.Response:
    """Add a text of the customer; 202."""
    patron, body = _patron(request), await _body(request, NewText)
    chat = _live_chat(request, patron)
    chat.label = body.label
    contact = chat.contact
    if contact is not None:
        contact.customer = Customer(contact.customer.id, body.label)
        contact.receive(Content.of_text(body.message))
    return web.Response(status=202)


async def show_typing(request: web.Request) -> web.Response:
    """Show that the customer began or stopped typing; 202."""
    chat = _live_chat(request, _patron(request))
    values = {name: request.query.get(name, "").lower() for name in ("isTyping", "isTextEntered")}
    if wrong := [name for name, value in values.items() if value not in ("true", "false")]:
        raise Refused(400, "bad_request", f"{wrong[0]} must be true or false")
    if not request.query.get("label"):
        raise Refused(400, "bad_request", "label is missing")
    if chat.contact is not None:
        chat.contact.show_customer_typing(on="true" in values.values())
    return web.Response(status=202)


async def end(request: web.Request) -> web.Response:
    """End a chat as the customer; 202."""
    chat = _live_chat(request, _patron(request))
    if chat.contact is not None:
        chat.contact.set_status("closed", by="customer")
    return web.Response(status=202)


# ------------------------------------------------------------ availability


async def show_activity(request: web.Request) -> web.Response:
    """Return the activity of a skill."""
    patron, skill = _patron(request), request.match_info["skill"]
    points: list[Point] = [point for point in patron.points.values() if point.skill == skill]
    if not points:
        raise Refused(404, "not_found", "there is no such skill")
    settings = patron.settings
    activity = {
        "skillId": skill,
        "skillName": points[0].name,
        "isActive": True,
        "agentsLoggedIn": settings.agents_logged_in,
        "agentsAvailable": settings.agents_available,
        "agentsWorking": settings.agents_logged_in - min(settings.agents_available, settings.agents_logged_in),
        "queueCount": sum(len(patron.desk.queue(point.id)) for point in points),
    }
    return json_response({"skillActivity": [activity]})


async def list_states(request: web.Request) -> web.Response:
    """List the states of the human agents who are logged in."""
    settings = _patron(request).settings
    states = []
    for number in range(settings.agents_logged_in):
        is_available = number < settings.agents_available
        state, name = (1, "Available") if is_available else (2, "Unavailable")
        states.append({"agentId": 101 + number, "agentStateId": state, "agentStateName": name, "isActive": True})
    return json_response({"agentStates": states})


async def list_hours(request: web.Request) -> web.Response:
    """List the profiles of hours of operation."""
    profiles = [a_profile(each) for each in _patron(request).hours.values()]
    return json_response({"resultSet": {"hoursOfOperationProfiles": profiles}})
