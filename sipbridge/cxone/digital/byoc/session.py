"""One chat over a bring-your-own channel."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

from sipbridge.chats.happenings import AgentJoined, AgentLeft, ChannelStateChanged, ChannelUnreachable, ContactClosed
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Outgoing, Report
from sipbridge.cxone.digital.byoc.parts import ByocParts
from sipbridge.cxone.digital.content import human_agent
from sipbridge.cxone.digital.values import object_of, text_of
from sipbridge.errors import HttpError, HttpNotReached
from sipbridge.http import Response

# CXone accepts 250 requests for one contact at once, and 17 more per minute: the rest is for messages.
POLL_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 120.0
_OVER = ("closed", "trashed")
_BUSY = 429
_CREATED = (200, 201, 202)


class ByocSession:
    """Implements `chats.ports.ChannelSession`. The human agent's messages come by the box (`box.py`)."""

    def __init__(self, parts: ByocParts, record: ChatRecord, *, report: Report) -> None:
        self._parts = parts
        self._record = record
        self.report = report
        self.thread_id = record.derived_id("thread")
        self._contact_id = text_of(record.channel_state.get("contact_id"))
        self._has_contact = asyncio.Event()
        if self._contact_id:
            self._has_contact.set()

    async def run(self) -> None:
        """Be reachable by the box, and poll the contact for its end, which CXone does not report."""
        with self._parts.threads.registered(self._parts.key, self):
            await self._has_contact.wait()
            while True:
                await asyncio.sleep(POLL_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 (spreads load, hides nothing)
                await self._poll()

    async def _poll(self) -> None:
        try:
            response = await self._parts.rest.contact(self._contact_id)
            if response.status != 200:  # noqa: PLR2004 (OK)
                return
            contact = response.json_object("a contact")
        except HttpError as error:
            self._parts.fault(self._record, "contact_not_polled", f"the contact was not polled: {error}")
            return
        contact = object_of(contact.get("contact")) or contact
        if "inboxAssignee" in contact:
            agent = human_agent(contact["inboxAssignee"])
            self.report(AgentJoined(agent) if agent else AgentLeft())
        if text_of(contact.get("status")).lower() in _OVER:
            self.report(ContactClosed())

    # ------------------------------------------------------------ to the human agent

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Post a message, once. If a response was lost, CXone is asked for the message before it is posted again."""
        body = self._message(message)
        ask_first = message.repeated
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                if ask_first and await self._parts.rest.find_message(message.id):
                    return DeliveryStatus.DELIVERED, ""
                ask_first = False
                response = await self._parts.rest.post_message(body)
            except HttpNotReached as error:
                self._unreachable(error)
            except HttpError as error:
                ask_first = True
                self._unreachable(error)
            else:
                if response.status in _CREATED:
                    self._note_contact(response)
                    return DeliveryStatus.DELIVERED, ""
                if 400 <= response.status < 500 and response.status != _BUSY:  # noqa: PLR2004 (a refusal)
                    return DeliveryStatus.FAILED, f"refused_{response.status}"
                ask_first = ask_first or response.status != _BUSY
                pause = max(pause, min(response.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def _message(self, message: Outgoing) -> dict[str, Any]:
        customer = self._record.customer
        body: dict[str, Any] = {
            "idOnExternalPlatform": message.id,
            "direction": "inbound",
            "createdAtWithMilliseconds": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "thread": {"idOnExternalPlatform": self.thread_id},
            "messageContent": {"type": "TEXT", "payload": {"text": message.text}},
            "authorEndUserIdentity": {
                "idOnExternalPlatform": customer.phone or customer.id or self._record.derived_id("customer"),
                "firstName": customer.first_name or "Customer",
                "lastName": customer.last_name,
                "nickname": customer.phone or customer.id,
                "image": "",
            },
            "attachments": [{"friendlyName": each.name or "file", "url": each.url} for each in message.attachments],
        }
        if message.opens and self._record.custom_fields:
            fields = [{"ident": name, "value": value} for name, value in self._record.custom_fields.items()]
            body["contact"] = {"customFields": fields}
        return body

    def _note_contact(self, response: Response) -> None:
        if self._contact_id:
            return
        try:
            body = response.json_object("a posted message")
        except HttpError:
            return
        contact = object_of(body.get("consumerContact")) or object_of(body.get("contact"))
        self._contact_id = text_of(contact.get("id"))
        if self._contact_id:
            self._has_contact.set()
            self.report(ChannelStateChanged({"contact_id": self._contact_id}))

    def _unreachable(self, error: HttpError) -> None:
        self._parts.fault(self._record, "not_posted", f"a message was not posted yet: {error}")
        self.report(ChannelUnreachable("unreachable"))

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types. A failure does not matter."""
        if self._contact_id:
            self._parts.background.start(self._show_typing(on=on))

    async def _show_typing(self, *, on: bool) -> None:
        try:
            await self._parts.rest.show_typing(self.thread_id, on=on)
        except HttpError as error:
            self._parts.fault(self._record, "typing_not_shown", f"typing was not shown: {error}")

    async def end(self, closing_text: str) -> None:
        """Send the text to the human agent, then close the contact."""
        await self.send(Outgoing(self._record.derived_id("closing"), closing_text))
        if self._contact_id:
            try:
                await self._parts.rest.set_status(self._contact_id, "closed")
            except HttpError as error:
                self._parts.fault(self._record, "contact_not_closed", f"the contact was not closed: {error}")
