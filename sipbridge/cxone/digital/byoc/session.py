"""One chat over a bring-your-own channel."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

from sipbridge.aio import weakly
from sipbridge.chats.happenings import AgentJoined, AgentLeft, ChannelStateChanged, ChannelUnreachable, ContactClosed
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import BoxMessage, Outgoing, Report
from sipbridge.cxone.digital.byoc.agent_messages import AgentMessages
from sipbridge.cxone.digital.byoc.allowance import Allowance
from sipbridge.cxone.digital.byoc.customer_message import customer_id_of, customer_message
from sipbridge.cxone.digital.byoc.parts import ByocParts
from sipbridge.cxone.digital.byoc.rest import contact_id_of
from sipbridge.cxone.digital.closing import end_contact, say_last
from sipbridge.cxone.digital.content import human_agent, is_over
from sipbridge.cxone.digital.typing import Typing
from sipbridge.cxone.digital.values import Json, text_of
from sipbridge.errors import AttachmentError, CxoneRefused, HttpError, HttpNotReached

# CXone accepts 250 requests for one contact at once, and 17 more per minute: the rest is for messages.
POLL_SECONDS = 10.0
# Between two looks at the messages of the contact, for each request that a look may take.
LOOK_SECONDS = 30.0
MESSAGES_PER_REQUEST = 20  # NICE does not document the length of a page
LOOKS = 3  # for a contact, until there is none
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 120.0
# Each time, typing is shown and ends: two requests.
TYPING_AT_ONCE, TYPING_PER_MINUTE = 50, 3.0
_BUSY = 429


class ByocSession:
    """Implements `chats.ports.ChannelSession`. The human agent's messages come by the box."""

    def __init__(
        self, parts: ByocParts, record: ChatRecord, *, resumed: bool, report: Report, is_new: Callable[[str], bool]
    ) -> None:
        self._parts = parts
        self._record = record
        self._resumed = resumed
        self.report = report
        self.thread_id = record.derived_id("thread")
        self._fault = partial(parts.fault, record)
        at_cxone = weakly(self._messages_at_cxone)
        self._agent_messages = AgentMessages(record, report, is_new, at_cxone, parts.fetch, self._fault)
        self._contact_id = text_of(record.channel_state.get("contact_id"))
        self._is_open = asyncio.Event()  # CXone has a message, so there is a contact
        self._throttled_until = 0.0
        self._looks_at = 0.0
        self._allowance = Allowance(TYPING_AT_ONCE, TYPING_PER_MINUTE)
        show, may_show = weakly(self._show_typing), weakly(self._may_show_typing)
        self._typing = Typing(show, parts.background.start, self._fault, may_show)
        self._posted_ids: set[str] = set()  # messages that CXone may have
        self._is_ending = False  # a message behind the close would open another contact
        if self._contact_id:
            self._is_open.set()

    # ------------------------------------------------------------ from the human agent

    async def run(self) -> None:
        """Be reachable by the box, and poll the contact for its end, which CXone does not report."""
        with self._parts.threads.registered(self._parts.key, self):
            try:
                await self._poll_repeatedly()
            finally:
                self._agent_messages.close()

    async def _poll_repeatedly(self) -> None:
        if not self._resumed:
            self._agent_messages.open()
            await self._is_open.wait()
            await asyncio.sleep(_poll_pause())
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with nullcontext() if self._agent_messages.is_ready else self._parts.recoveries:
                    await self._poll()
            except HttpError as error:
                self._fault("contact_not_polled", f"the contact was not polled: {error}")
                # What was missed meanwhile is wanted soon; later polls have time.
                pause = min(pause * 2, POLL_SECONDS)
                await asyncio.sleep(max(_asked(error), _poll_pause() if self._agent_messages.is_ready else pause))
            else:
                await asyncio.sleep(_poll_pause())

    async def take(self, message: Json) -> BoxMessage:
        """Take a message from the box; return it once the bot will get it.

        Raises `TimeoutError`, and `HttpWithheld` if another node may have the chat.
        """
        return await self._agent_messages.take(message)

    def release(self) -> None:
        """End the chat at the request of a Studio script."""
        self._parts.background.start(self._release())

    async def _release(self) -> None:
        """Report the human agent, who may have joined since the last poll, then the end."""
        try:
            contact = await self._contact()
        except HttpError as error:
            self._fault("contact_not_polled", f"the contact was not polled: {error}")
        else:
            self._report_assignee(contact or {})
        await self._report_end("released")

    async def _poll(self) -> None:
        """Report the human agent, what was missed during a restart, and the end. Raises `HttpError`."""
        contact = await self._contact()
        if contact is not None:
            self._report_assignee(contact)
        if not self._agent_messages.is_ready:
            await self._recover(has_contact=contact is not None)
        if contact is not None and is_over(contact.get("status")):
            await self._report_end()
        elif contact is not None:
            await self._look_for_lost_calls()

    async def _look_for_lost_calls(self) -> None:
        """Report now and then the messages whose calls failed: CXone may call the box only once."""
        now = asyncio.get_running_loop().time()
        if now < max(self._looks_at, self._throttled_until):
            return
        try:
            count = await self._agent_messages.look_for_lost_calls()
        except HttpError as error:
            self._fault("not_recovered", f"messages may be missing: {error}")
            count = 0
        self._looks_at = now + LOOK_SECONDS * (1 + count // MESSAGES_PER_REQUEST)

    async def _report_end(self, reason: str = "closed") -> None:
        """Report that the human agent ended the chat, after the last messages: their calls may come later."""
        try:
            await self._agent_messages.catch_up()
        except HttpError as error:
            self._fault("not_recovered", f"messages may be missing: {error}")
        self.report(ContactClosed(reason))

    async def _contact(self) -> Json | None:
        """Return the contact; None if there is none yet. Raises `HttpError`."""
        rest = self._parts.rest
        if self._contact_id:
            return await rest.contact(self._contact_id)
        contact = await rest.find_contact(customer_id_of(self._record), self.thread_id)
        if contact is not None:
            self._use_contact(contact_id_of(contact))
        return contact

    async def _recover(self, *, has_contact: bool) -> None:
        """Report what the human agent wrote while the bridge was down. Raises `HttpError`."""
        if not has_contact:
            self._agent_messages.open()
            return
        try:
            await self._agent_messages.recover()
        except CxoneRefused as error:
            if error.is_temporary:
                raise
            self._fault("not_recovered", f"messages may be missing: {error}")
            self._agent_messages.open_without_recovery()

    async def _messages_at_cxone(self) -> Sequence[Json]:
        return await self._parts.rest.contact_messages(self._contact_id) if self._contact_id else []

    def _report_assignee(self, contact: Json) -> None:
        """Report who has the contact. CXone names an id, and the person beside it."""
        if "inboxAssignee" not in contact:
            return
        agent = human_agent(contact.get("inboxAssigneeUser")) or human_agent({"id": contact["inboxAssignee"]})
        if agent is not None:
            self.report(AgentJoined(agent))
        elif not is_over(contact.get("status")):  # a closed contact has no assignee: its end is reported instead
            self.report(AgentLeft())

    # ------------------------------------------------------------ to the human agent

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Post a message, once. If a response was lost, CXone is asked for the message before it is posted again."""
        try:
            for attachment in message.attachments:
                self._parts.check(attachment)
        except AttachmentError as error:
            return DeliveryStatus.FAILED, error.reason
        body, ask_first, pause = (
            customer_message(self._record, self.thread_id, message),
            message.repeated,
            FIRST_PAUSE_SECONDS,
        )
        while True:
            if self._is_ending:
                return DeliveryStatus.UNKNOWN if self.may_have(message) else DeliveryStatus.FAILED, "chat_ended"
            asked = 0.0
            try:
                self._posted_ids.add(message.id)
                return await self._find_or_post(body, ask_first=ask_first)
            except CxoneRefused as error:
                if not error.is_temporary:
                    return DeliveryStatus.UNKNOWN, f"refused_{error.status}"  # CXone does not say if it has the message
                ask_first = ask_first or error.status != _BUSY
                asked = _asked(error)
                self._not_posted(error)
            except HttpNotReached as error:
                self._not_posted(error)
            except HttpError as error:
                ask_first = True
                self._not_posted(error)
            if not ask_first:
                self._posted_ids.discard(message.id)  # CXone has taken nothing of it
            self._throttled_until = asyncio.get_running_loop().time() + asked
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def may_have(self, message: Outgoing) -> bool:
        """True if a message was posted, or if an earlier run may have posted it."""
        return message.repeated or message.id in self._posted_ids

    async def _find_or_post(self, body: Json, *, ask_first: bool) -> tuple[DeliveryStatus, str]:
        """Post a message unless CXone has it. Raises `HttpError`; a refusal for good only if CXone cannot be asked."""
        rest = self._parts.rest
        if ask_first and (found := await rest.find_message(body["idOnExternalPlatform"])):
            return self._arrived_in(contact_id_of(found))
        try:
            return self._arrived_in(await rest.post_message(body))
        except CxoneRefused as error:
            if error.is_temporary:
                raise
            return DeliveryStatus.FAILED, f"refused_{error.status}"

    def _not_posted(self, error: HttpError) -> None:
        self._fault("not_posted", f"a message was not posted yet: {error}")
        if not (isinstance(error, CxoneRefused) and error.status == _BUSY):
            self.report(ChannelUnreachable("unreachable"))

    def _arrived_in(self, contact_id: str) -> tuple[DeliveryStatus, str]:
        """Note the contact that has a message. Another one than before means that CXone had closed that one."""
        self._is_open.set()
        self._typing.message_sent()
        if not contact_id or contact_id == self._contact_id or not self._contact_id:
            self._use_contact(contact_id)
            return DeliveryStatus.DELIVERED, ""
        # The human agent had ended the chat: a message that comes too late should not call another one.
        self._parts.background.start(self._close(contact_id))
        self._parts.background.start(self._report_end())
        return DeliveryStatus.FAILED, "contact_closed"

    def _use_contact(self, contact_id: str) -> None:
        if contact_id and not self._contact_id:
            self._contact_id = contact_id
            self.report(ChannelStateChanged({"contact_id": contact_id}))

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types. Messages go first."""
        if self._contact_id:
            self._typing.set(on=on)

    async def _show_typing(self, on: bool) -> None:  # noqa: FBT001 (called with the one argument)
        await self._parts.rest.show_typing(self.thread_id, on=on)

    def _may_show_typing(self) -> bool:
        return asyncio.get_running_loop().time() >= self._throttled_until and self._allowance.take()

    def throttle(self, on: bool) -> None:  # noqa: FBT001 (its one argument)
        """Do nothing. CXone's calls to the box wait until they are stored."""

    async def end(self, closing_text: str) -> None:
        """Send the text to the human agent, then close the contact."""
        if not (self._is_open.is_set() or self._contact_id or await self._find_contact()):
            return
        closing = Outgoing(self._record.derived_id("closing"), closing_text, repeated=self._resumed)
        await say_last(self.send(closing))
        self._is_ending = True
        if self._contact_id:
            # In the background, so that it goes on if the chat waits no longer.
            await asyncio.shield(self._parts.background.start(self._close(self._contact_id)))

    async def _find_contact(self) -> bool:
        """True if CXone has a contact, though the response to the first message was lost. Its list may be behind."""
        looks, pause = 0, FIRST_PAUSE_SECONDS
        while True:
            try:
                contact = await self._contact()
            except HttpError as error:
                self._fault("contact_not_polled", f"the contact was not polled: {error}")
            else:
                looks += 1
                if contact is not None or looks == LOOKS:
                    return contact is not None and not is_over(contact.get("status"))
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _close(self, contact_id: str) -> None:
        await end_contact(
            lambda: self._parts.rest.set_status(contact_id, "closed"),
            lambda message: self._fault("contact_not_closed", message),
        )


def _asked(error: HttpError) -> float:
    """Return the pause in seconds that CXone asks for, within reason."""
    return min(error.retry_after, MAX_RETRY_AFTER_SECONDS) if isinstance(error, CxoneRefused) else 0.0


def _poll_pause() -> float:
    return POLL_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, hides nothing)
