"""The pushes and recovered messages of the gateway as happenings of a chat, in order and each message once."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from sipbridge.chats.happenings import AgentJoined, AgentLeft, AgentTyping, ContactClosed, QueuePosition
from sipbridge.chats.ports import Report
from sipbridge.cxone.digital.content import agent_message, human_agent, is_over, message_ids, sender_id_of
from sipbridge.cxone.digital.dfo.connection import GatewayLost
from sipbridge.cxone.digital.dfo.frames import BadFrame, Frame, Push, interpret
from sipbridge.cxone.digital.dfo.identity import Identity
from sipbridge.cxone.digital.values import Json, object_of, text_of
from sipbridge.errors import SipbridgeError

BODY_TRIES = 3  # to fetch the body of a message; then it is taken as short as it came


class Owner(Protocol):
    """The session whose thread this is."""

    async def fetch_event(self, url: str) -> object:
        """Return an event that was too large for the socket. Raises `SipbridgeError`."""

    async def fetch_body(self, message_id: str) -> Json:
        """Return the whole body of a message that came shortened. Raises `SipbridgeError`."""

    def deliver(self, frame: Frame) -> None:
        """Take a reply that was too large for the socket."""

    def confirm(self, message_id: str) -> None:
        """Take note that the thread shows a message of ours."""

    def keep_identity(self) -> None:
        """Store the ids of the chat: the contact has got its own."""

    def reconnect(self) -> None:
        """Open another connection, with a recovery: something has been missed."""

    def fault(self, word: str, text: str) -> None:
        """Report a fault of the channel."""


class Inbound:
    """The events of one thread. Pushes are handled at once, except while one waits for a fetch, or while held.

    `own_messages` are the ids of our messages that the thread has. `is_over` is true once CXone has closed the contact.
    `is_new` is false for the ids of messages that the bot has from an earlier run.
    """

    def __init__(self, identity: Identity, owner: Owner, report: Report, is_new: Callable[[str], bool]) -> None:
        self.is_over = False
        self.own_messages: set[str] = set()
        self._identity = identity
        self._owner: Owner = weakref.proxy(owner)  # which refers to this
        self._report = report
        self._is_new = is_new
        self._seen: set[str] = set()
        self._newest_recovered: set[str] = set()  # the ids of one message
        self._waiting: deque[Push | asyncio.Future[Push | None]] = deque()
        self._held = False
        self._completing: asyncio.Task[None] | None = None
        self._failures: Counter[str] = Counter()  # to fetch the body of a message, by its id

    def hold(self) -> None:
        """Forget the pushes that wait, as the next recovery brings their content; keep others back until `release`."""
        self._held = True
        self.close()

    def release(self) -> None:
        """Handle the pushes that were kept back, and those that come from now on."""
        self._held = False
        self._handle_waiting()

    def close(self) -> None:
        """Fetch nothing more."""
        for waiting in self._waiting:
            if isinstance(waiting, asyncio.Future):
                waiting.cancel()
        self._waiting.clear()
        if self._completing is not None:
            self._completing.cancel()

    def push(self, push: Push) -> None:
        """Take a push. Those behind one whose content has to be fetched wait for it, so that the order stays."""
        if push.event_type == "EventInS3":
            fetch = asyncio.ensure_future(self._fetch(text_of(object_of(push.data.get("s3Object")).get("url"))))
            fetch.add_done_callback(lambda _: self._handle_waiting())
            self._waiting.append(fetch)
        else:
            self._waiting.append(push)
        self._handle_waiting()

    def _has_seen(self, ids: Sequence[str]) -> bool:
        """True if a message with these ids was reported before."""
        return not self._seen.isdisjoint(ids) or self._bot_has(ids)

    def _bot_has(self, ids: Sequence[str]) -> bool:
        return not all(map(self._is_new, ids))

    def reaches_known(self, page: Sequence[Json]) -> bool:
        """True if all messages before those of a page were reported already.

        Since the last recovery a push may have been lost, so the page must have the newest message of that recovery. Of
        an earlier run it is known only which messages the bot has. They are without a gap: pushes come in order, and a
        recovery precedes the pushes of its connection and reports the oldest message first. So it is a page of which
        the bot has each message of the human agent.
        """
        if self._newest_recovered:
            return any(self._newest_recovered.intersection(message_ids(message)) for message in page)
        of_agent = [message_ids(message) for message in page if text_of(message.get("direction")) == "outbound"]
        return bool(of_agent) and all(map(self._bot_has, of_agent))

    async def restore(self, state: Json, messages: Sequence[Json]) -> None:
        """Report the state of the thread, and its messages, oldest first."""
        contact = object_of(state.get("contact")) or object_of(state.get("consumerContact"))
        self._note_contact(contact)
        self._assign(state)
        for message in messages:
            await self._take_whole(message)
        if messages:
            self._newest_recovered = set(message_ids(messages[-1]))
        if is_over(contact.get("status")):
            self._close()

    # ------------------------------------------------------------ pushes

    def _handle_waiting(self) -> None:
        while self._waiting and not self._held and self._completing is None:
            first = self._waiting[0]
            if isinstance(first, asyncio.Future) and not first.done():
                return
            self._waiting.popleft()
            push = first.result() if isinstance(first, asyncio.Future) else first
            if (
                push is not None
                and push.event_type == "MessageCreated"
                and _is_short(object_of(push.data.get("message")))
            ):
                self._completing = asyncio.create_task(self._complete(push))
            elif push is not None:
                self._handle(push)

    async def _fetch(self, url: str) -> Push | None:
        """Fetch an event that was too large for the socket. A reply to a request of ours goes to it at once."""
        try:
            frame = interpret(await self._owner.fetch_event(url))
        except (SipbridgeError, BadFrame) as error:
            self._owner.fault("event_not_fetched", f"an event of the chat gateway was not fetched: {error}")
            self._begin_again()
            return None
        if isinstance(frame, Push):
            return frame
        self._owner.deliver(frame)
        return None

    async def _complete(self, push: Push) -> None:
        """Handle a message whose body has to be fetched."""
        try:
            if is_of_thread(push, self._identity.thread_id):
                await self._take_whole(object_of(push.data.get("message")))
        except GatewayLost:
            self._begin_again()
        finally:
            self._completing = None
        self._handle_waiting()

    def _begin_again(self) -> None:
        """Let a recovery bring what could not be fetched, and the pushes after it, in their order."""
        self.hold()
        self._owner.reconnect()

    def _handle(self, push: Push) -> None:  # noqa: C901 (one case per kind of event)
        if not is_of_thread(push, self._identity.thread_id):
            return
        case = object_of(push.data.get("case")) or object_of(push.data.get("consumerContact"))
        match push.event_type:
            case "CaseCreated":
                self._note_contact(case)
            case "MessageCreated":
                self._is_ours(case)
                self._take(object_of(push.data.get("message")))
            case "MessageSent":
                self._note_own(object_of(push.data.get("message")))
            case "CaseInboxAssigneeChanged":
                if self._is_ours(case):
                    self._assign(push.data)
            case "CaseStatusChanged":
                if self._is_ours(case) and is_over(case.get("status")):
                    self._close()
            case "SenderTypingStarted" | "SenderTypingEnded":
                if text_of(push.data.get("direction")).lower() != "inbound":
                    self._report(AgentTyping(push.event_type == "SenderTypingStarted"))
            case "SetPositionInQueue":
                self._queue_position(push.data)
            case _:
                pass  # an event that a chat does not need, or that later versions of CXone send

    def _is_ours(self, case: Json) -> bool:
        """True if an event is of our contact: late events of another one in the thread change nothing."""
        case_id = text_of(case.get("id"))
        if not self._identity.contact_id:
            self._note_contact(case)
        return not case_id or case_id == self._identity.contact_id

    def _note_contact(self, case: Json) -> None:
        """Note the id of the contact, which CXone gives with the first message."""
        contact_id = text_of(case.get("id"))
        if contact_id and contact_id != self._identity.contact_id:
            self._identity.contact_id = contact_id
            self._owner.keep_identity()

    def _queue_position(self, data: Json) -> None:
        position = data.get("positionInQueue")
        if isinstance(position, int) and not isinstance(position, bool) and position > 0:
            self._report(QueuePosition(position=position))
        else:
            self._incomplete("a position in the queue")

    def _assign(self, data: Json) -> None:
        """Report the human agent of the contact. A missing field says nothing, null says that there is none."""
        user = data.get("inboxAssignee", {})
        agent = human_agent(user)
        if agent is not None:
            if agent.name is not None and "<" in agent.name:
                self._owner.fault("markup", "the name of a human agent contains markup")
            self._report(AgentJoined(agent))
        elif user is None:
            self._report(AgentLeft())
        elif not object_of(user).get("id"):
            self._incomplete("a human agent")

    def _incomplete(self, what: str) -> None:
        self._owner.fault("incomplete_event", f"an event of the chat gateway is incomplete: {what}")

    def _close(self) -> None:
        if not self.is_over:
            self.is_over = True
            # Later: messages that wait for this recovery learn first that they have arrived.
            asyncio.get_running_loop().call_soon(self._report, ContactClosed())

    # ------------------------------------------------------------ messages

    async def _take_whole(self, message: Json) -> None:
        """Take a message with its whole body. Raises `GatewayLost` to be tried again; in the end it is taken short."""
        if _is_short(message) and not self._has_seen(message_ids(message)):
            message_id = text_of(message.get("id"))
            try:
                whole = await self._owner.fetch_body(message_id)
            except (SipbridgeError, TimeoutError) as error:
                self._owner.fault("message_not_fetched", f"the body of a message was not fetched: {error}")
                self._failures[message_id] += 1
                if self._failures[message_id] < BODY_TRIES:
                    raise GatewayLost("the body of a message was not fetched") from None
            else:
                message = {**message, **(object_of(whole.get("message")) or whole)}
        self._take(message)

    def _take(self, message: Json) -> None:
        """Report a message of the human agent; note one of ours."""
        direction = text_of(message.get("direction"))
        if direction not in ("inbound", "outbound"):
            self._incomplete("a message")
        if direction != "outbound":
            self._note_own(message)
            return
        ids = message_ids(message)
        if self._has_seen(ids):
            return
        self._seen.update(ids)
        taken = agent_message(message)
        if taken is not None:
            self._report(taken)
        else:
            self._incomplete("a message")

    def _note_own(self, message: Json) -> None:
        """Note a message of ours. The thread shows each one more than once, and the first time confirms it."""
        sender_id = sender_id_of(message)
        if sender_id and sender_id not in self.own_messages and text_of(message.get("direction")) != "outbound":
            self.own_messages.add(sender_id)
            self._owner.confirm(sender_id)


def _is_short(message: Json) -> bool:
    """True if the body of a message of the human agent has to be fetched."""
    return message.get("hasAdditionalMessageContent") is True and text_of(message.get("direction")) == "outbound"


def is_of_thread(push: Push, thread_id: str) -> bool:
    """True if a push belongs to this thread, or names none."""
    for name in ("thread", "case", "consumerContact"):
        shown = push.data.get(name)
        key = "idOnExternalPlatform" if name == "thread" else "threadIdOnExternalPlatform"
        if isinstance(shown, dict) and text_of(shown.get(key)).lower() not in ("", thread_id):
            return False
    return True
