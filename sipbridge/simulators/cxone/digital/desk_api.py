"""The desk as JSON under `/simulator/desk`: the actions of human agents, lists that wait, and a stream of events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeVar

from aiohttp import web
from aiohttp_sse import sse_response
from pydantic import BaseModel

from sipbridge.simulators.cxone.digital.automatic import Automatic, AutomaticAgents
from sipbridge.simulators.cxone.digital.control import checked
from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError
from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.desk_feed import DeskFeed
from sipbridge.simulators.cxone.digital.desk_models import (
    Accept,
    ConversationQuery,
    Marked,
    MessageQuery,
    NewAgent,
    NewMessage,
    Status,
    Transfer,
    Typing,
    show_agent,
    show_conversation,
    show_message,
    show_summary,
)
from sipbridge.simulators.cxone.digital.errors import UnknownObject
from sipbridge.simulators.cxone.digital.events import (
    AssigneeChanged,
    CustomerTyping,
    Event,
    Forgotten,
    MessageAdded,
    Opened,
    StatusChanged,
)
from sipbridge.simulators.cxone.endpoints import json_response

DESK = web.AppKey("desk", Desk)
AUTOMATIC = web.AppKey("automatic", AutomaticAgents)
FEED = web.AppKey("feed", DeskFeed)

M = TypeVar("M", bound=BaseModel)


def routes() -> list[web.RouteDef]:
    """Return the routes."""
    one = "/simulator/desk/conversations/{id}"
    found = [
        web.get("/simulator/desk/conversations", list_conversations),
        web.delete("/simulator/desk/conversations", clear),
        web.get("/simulator/desk/agents", list_agents),
        web.post("/simulator/desk/agents", add_agent),
        web.get("/simulator/desk/automatic", list_automatic),
        web.post("/simulator/desk/automatic", add_automatic),
        web.delete("/simulator/desk/automatic", clear_automatic),
        web.get("/simulator/desk/events", stream_events),
        web.get(one, show),
        web.get(f"{one}/messages", list_messages),
        web.post(f"{one}/messages", say),
        web.post(f"{one}/accept", accept),
        web.post(f"{one}/typing", show_typing),
        web.post(f"{one}/mark", mark),
        web.post(f"{one}/transfer", transfer),
        web.post(f"{one}/leave", leave),
        web.post(f"{one}/status", set_status),
        web.post(f"{one}/close", close),
    ]
    return checked(found)


def _conversation(request: web.Request) -> Conversation:
    found = request.app[DESK].get(request.match_info["id"])
    if found is None:
        raise UnknownObject("there is no such conversation")
    return found


async def _body(request: web.Request, model: type[M]) -> M:
    return model.model_validate_json(await request.read() or b"{}")


async def list_conversations(request: web.Request) -> web.Response:
    """List the conversations that match; with `wait_for`, when that many match or `timeout` has passed."""
    query, desk = ConversationQuery.model_validate(dict(request.query)), request.app[DESK]
    changes = (Opened, AssigneeChanged, StatusChanged, CustomerTyping, Forgotten)
    # Messages are many, and each check reads all conversations.
    watched = changes if query.contains is None else (*changes, MessageAdded)

    def matching() -> list[Conversation]:
        return [each for each in desk.conversations() if query.matches(each)]

    def concerns(conversation: Conversation, event: Event) -> bool:
        return isinstance(event, watched) and query.may_match(conversation)

    await desk.waiters.wait_until(lambda: len(matching()) >= query.wait_for, concerns, query.timeout)
    found = matching()[-(query.newest or 0) :]
    return json_response({"count": len(found), "conversations": [show_summary(each) for each in found]})


async def show(request: web.Request) -> web.Response:
    """Show a conversation with its messages."""
    return json_response(show_conversation(_conversation(request)))


async def list_messages(request: web.Request) -> web.Response:
    """List the messages of a conversation that match; `wait_for` as in `list_conversations`."""
    query, conversation = MessageQuery.model_validate(dict(request.query)), _conversation(request)

    def concerns(other: Conversation, event: Event) -> bool:
        return other is conversation and isinstance(event, MessageAdded)

    await request.app[DESK].waiters.wait_until(
        lambda: len(query.select(conversation)) >= query.wait_for, concerns, query.timeout
    )
    found = query.select(conversation)
    return json_response({"count": len(found), "messages": [show_message(each) for each in found]})


async def accept(request: web.Request) -> web.Response:
    """Accept a conversation."""
    conversation, body = _conversation(request), await _body(request, Accept)
    conversation.accept(request.app[DESK].agent(body.agent))
    return json_response(show_summary(conversation))


async def say(request: web.Request) -> web.Response:
    """Send a message of the human agent."""
    conversation, body = _conversation(request), await _body(request, NewMessage)
    message = conversation.say(
        body.content(), attachments=body.files(), external_id=body.id, after_close=body.after_close
    )
    return json_response(show_message(message), status=201)


async def show_typing(request: web.Request) -> web.Response:
    """Begin or stop typing."""
    conversation, body = _conversation(request), await _body(request, Typing)
    conversation.show_agent_typing(on=body.state == "started")
    return json_response(show_summary(conversation))


async def mark(request: web.Request) -> web.Response:
    """Mark all messages of a conversation, those of the customer as seen or the others as delivered or seen."""
    conversation, body = _conversation(request), await _body(request, Marked)
    direction = "inbound" if body.mark == "seen_by_agent" else "outbound"
    conversation.mark([each for each in conversation.messages if each.direction == direction], body.mark)
    return json_response(show_conversation(conversation))


async def transfer(request: web.Request) -> web.Response:
    """Transfer to another human agent, directly or by way of the queue."""
    conversation, body, desk = _conversation(request), await _body(request, Transfer), request.app[DESK]
    if body.to is not None and not body.via_queue:
        conversation.transfer(desk.agent(body.to))
        return json_response(show_summary(conversation))
    agent = None if body.to is None else desk.agent(body.to)
    conversation.leave(in_transfer=True)

    def take() -> None:
        with suppress(DeskError):  # accepted or closed in the meantime
            if agent is not None:
                conversation.accept(agent)

    if body.seconds:
        asyncio.get_running_loop().call_later(body.seconds, take)
    else:
        take()
    return json_response(show_summary(conversation))


async def leave(request: web.Request) -> web.Response:
    """Put a conversation back into the queue."""
    conversation = _conversation(request)
    conversation.leave()
    return json_response(show_summary(conversation))


async def set_status(request: web.Request) -> web.Response:
    """Set the status of a contact."""
    conversation, body = _conversation(request), await _body(request, Status)
    conversation.set_status(body.status, by=body.by)
    return json_response(show_summary(conversation))


async def close(request: web.Request) -> web.Response:
    """Close a conversation as the human agent."""
    conversation = _conversation(request)
    conversation.set_status("closed", by="agent")
    return json_response(show_summary(conversation))


async def clear(request: web.Request) -> web.Response:
    """Delete all conversations."""
    request.app[DESK].clear()
    return web.Response(status=204)


async def list_agents(request: web.Request) -> web.Response:
    """List the human agents."""
    return json_response({"agents": [show_agent(agent) for agent in request.app[DESK].agents.values()]})


async def add_agent(request: web.Request) -> web.Response:
    """Add a human agent, or replace one by its id."""
    agent = (await _body(request, NewAgent)).as_agent()
    request.app[DESK].agents[agent.id] = agent
    return json_response(show_agent(agent), status=201)


async def list_automatic(request: web.Request) -> web.Response:
    """List the behaviours of automatic agents."""
    behaviours = request.app[AUTOMATIC].behaviours
    return json_response({"automatic": [each.model_dump(exclude_defaults=True) for each in behaviours]})


async def add_automatic(request: web.Request) -> web.Response:
    """Add a behaviour of automatic agents, for conversations that open from now on."""
    behaviour = await _body(request, Automatic)
    request.app[AUTOMATIC].add(behaviour)
    return json_response(behaviour.model_dump(exclude_defaults=True), status=201)


async def clear_automatic(request: web.Request) -> web.Response:
    """Remove the behaviours of automatic agents."""
    request.app[AUTOMATIC].clear()
    return web.Response(status=204)


async def stream_events(request: web.Request) -> web.StreamResponse:
    """Stream the events of all conversations as server-sent events; ends if the reader is too slow."""
    with request.app[FEED].reader() as reader:
        async with sse_response(request) as response:
            with suppress(ConnectionResetError):
                async for name, data in reader:
                    await response.send(data, event=name)
    return response
