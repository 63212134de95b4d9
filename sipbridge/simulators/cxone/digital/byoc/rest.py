"""DFO REST 3.0: messages and contacts of bring-your-own channels, and the throttle of one contact."""

from __future__ import annotations

from typing import TypeVar
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ValidationError

from sipbridge.simulators.cxone.digital.byoc.byoc import Byoc
from sipbridge.simulators.cxone.digital.byoc.channels import ByocChannel
from sipbridge.simulators.cxone.digital.byoc.requests import (
    CustomFields,
    MessageStatus,
    NewMessage,
    NewStatus,
    SenderAction,
)
from sipbridge.simulators.cxone.digital.byoc.wire import a_contact, a_message, a_page
from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError
from sipbridge.simulators.cxone.endpoints import Refused, authorize, explain, json_response
from sipbridge.simulators.cxone.models import Endpoint

BYOC = web.AppKey("byoc", Byoc)
BASE = "/dfo/3.0"
MAX_IDS = 100  # of one search

M = TypeVar("M", bound=BaseModel)


class DfoRefused(Refused):
    """A request that DFO REST rejects, in its form."""

    def __init__(self, status: int, field: str, message: str) -> None:
        super().__init__(status, field, message)
        self.retry_after: int | None = None

    def response(self) -> web.Response:
        """Return the error response."""
        error = {"field": self.error, "message": str(self), "parameters": {}}
        response = json_response({"errors": [error], "uid": str(uuid4())}, status=self.status)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def routes() -> list[web.RouteDef]:
    """Return the routes, each named after its endpoint."""
    channel, contact = f"{BASE}/channels/{{channel}}", f"{BASE}/contacts/{{contact}}"
    return [
        web.post(f"{channel}/messages", post_message, name=Endpoint.BYOC_MESSAGE),
        web.put(f"{channel}/messages/{{message}}/status", set_message_status, name=Endpoint.BYOC_MESSAGE_STATUS),
        web.post(f"{channel}/threads/{{thread}}/sender-actions", show_typing, name=Endpoint.BYOC_TYPING),
        web.get(f"{BASE}/messages", find_messages, name=Endpoint.BYOC_SEARCH),
        web.get(f"{BASE}/contacts", list_contacts, name=Endpoint.BYOC_CONTACTS),
        web.get(contact, show_contact, name=Endpoint.BYOC_CONTACT),
        web.get(f"{contact}/messages", list_contact_messages, name=Endpoint.BYOC_CONTACT_MESSAGES),
        web.put(f"{contact}/status", set_status, name=Endpoint.BYOC_STATUS),
        web.put(f"{contact}/custom-fields", set_fields, name=Endpoint.BYOC_FIELDS),
    ]


# ------------------------------------------------------------ the request


def _byoc(request: web.Request) -> Byoc:
    """Return the state for a request whose token is valid."""
    authorize(request)
    return request.app[BYOC]


def _channel(request: web.Request, byoc: Byoc) -> ByocChannel:
    channel = byoc.channels.get(request.match_info["channel"])
    if channel is None:
        raise DfoRefused(404, "channelId", "there is no such channel")
    return channel


def _contact(request: web.Request, byoc: Byoc) -> Conversation:
    """Return the contact of a request, within its throttle."""
    contact = byoc.contact(request.match_info["contact"])
    if contact is None:
        raise DfoRefused(404, "contactNumber", "there is no such contact")
    _admit(byoc, contact)
    return contact


def _admit(byoc: Byoc, contact: Conversation | None) -> None:
    seconds = None if contact is None else byoc.admit(contact.id)
    if seconds is not None:
        refused = DfoRefused(429, "", "too many requests for this contact")
        refused.retry_after = seconds
        raise refused


async def _body(request: web.Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DfoRefused(400, field, explain(error)) from None


def _check_query(request: web.Request, known: frozenset[str]) -> None:
    if unknown := sorted(set(request.query) - known):
        raise DfoRefused(400, unknown[0], "is not a known parameter")


# ------------------------------------------------------------ messages and typing


async def post_message(request: web.Request) -> web.Response:
    """Add a message of the customer; 201, or 200 for one that exists. Creates customer, thread and contact."""
    byoc = _byoc(request)
    channel = _channel(request, byoc)
    new = await _body(request, NewMessage)
    _admit(byoc, byoc.thread(channel.id, new.thread.idOnExternalPlatform).current)
    message, contact, is_new = byoc.add_message(channel, new)
    body = {"message": a_message(message, contact), "consumerContact": a_contact(contact)}
    return json_response(body, status=201 if is_new else 200)


async def set_message_status(request: web.Request) -> web.Response:
    """Mark a message as delivered or seen by the customer; `failed` is only checked."""
    byoc = _byoc(request)
    channel, body = _channel(request, byoc), await _body(request, MessageStatus)
    wanted = request.match_info["message"]
    for contact in byoc.contacts():
        for message in contact.messages:
            if contact.channel == channel.id and wanted in (message.id, message.external_id):
                _admit(byoc, contact)
                if body.status != "failed":
                    contact.mark([message], "delivered" if body.status == "delivered" else "seen_by_customer")
                return web.Response(status=204)
    raise DfoRefused(404, "messageId", "there is no such message")


async def show_typing(request: web.Request) -> web.Response:
    """Show that the customer began or stopped typing."""
    byoc = _byoc(request)
    channel, body = _channel(request, byoc), await _body(request, SenderAction)
    contact = byoc.thread(channel.id, request.match_info["thread"]).current
    if contact is None:
        raise DfoRefused(404, "threadId", "the thread has no open contact")
    _admit(byoc, contact)
    contact.show_customer_typing(on=body.action == "isTypingOn")
    return web.Response(status=204)


async def find_messages(request: web.Request) -> web.Response:
    """Find messages by the ids that the platform gave them."""
    byoc = _byoc(request)
    _check_query(request, frozenset({"idOnExternalPlatform[]", "scrollToken"}))
    wanted = request.query.getall("idOnExternalPlatform[]", [])
    if not 0 < len(wanted) <= MAX_IDS:
        raise DfoRefused(400, "idOnExternalPlatform[]", f"give 1 to {MAX_IDS} ids")
    found = byoc.find_messages(wanted)
    return json_response(
        a_page(found, _scroll_token(request), byoc.settings.page_size, lambda each: a_message(each[0], each[1]))
    )


# ------------------------------------------------------------ contacts


async def list_contacts(request: web.Request) -> web.Response:
    """List contacts by channel, status and customer."""
    byoc = _byoc(request)
    names = ("channel[]", "status[]", "endUserIdOnExternalPlatform[]")
    _check_query(request, frozenset({*names, "scrollToken"}))
    channels, statuses, customers = (frozenset(request.query.getall(name, [])) for name in names)
    found = [
        each
        for each in byoc.contacts()
        if (not channels or each.channel in channels)
        and (not statuses or each.status in statuses)
        and (not customers or each.customer.id in customers)
    ]
    return json_response(a_page(found, _scroll_token(request), byoc.settings.page_size, a_contact))


async def show_contact(request: web.Request) -> web.Response:
    """Return a contact."""
    return json_response(a_contact(_contact(request, _byoc(request))))


async def list_contact_messages(request: web.Request) -> web.Response:
    """List the messages of a contact, oldest first."""
    byoc = _byoc(request)
    contact = _contact(request, byoc)
    _check_query(request, frozenset({"scrollToken"}))
    page = a_page(
        contact.messages, _scroll_token(request), byoc.settings.page_size, lambda each: a_message(each, contact)
    )
    return json_response(page)


async def set_status(request: web.Request) -> web.Response:
    """Set the status of a contact, on behalf of the customer."""
    contact, body = _contact(request, _byoc(request)), await _body(request, NewStatus)
    try:
        contact.set_status(body.status, by="customer")
    except DeskError as error:
        raise DfoRefused(409, "status", str(error)) from None
    return web.Response(status=204)


async def set_fields(request: web.Request) -> web.Response:
    """Set custom fields of a contact."""
    contact, body = _contact(request, _byoc(request)), await _body(request, CustomFields)
    contact.set_fields(body.values)
    return web.Response(status=204)


def _scroll_token(request: web.Request) -> str | None:
    token = request.query.get("scrollToken") or None
    if token is not None and not token.removeprefix("from-").isdecimal():
        raise DfoRefused(400, "scrollToken", "is not a token of this list")
    return token
