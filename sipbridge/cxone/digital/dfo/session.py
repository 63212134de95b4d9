"""One chat over the chat gateway: the connection, its recovery, and the messages over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress

from sipbridge.chats.happenings import ChannelFailed, ChannelStateChanged, ChannelUnreachable
from sipbridge.chats.model import Attachment, ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Outgoing, Report
from sipbridge.cxone.digital.closing import say_last
from sipbridge.cxone.digital.dfo.authorization import REPLY_SECONDS, Authorization
from sipbridge.cxone.digital.dfo.connection import Connection, GatewayError, GatewayLost
from sipbridge.cxone.digital.dfo.frames import Frame, FrameMaker, Reply
from sipbridge.cxone.digital.dfo.identity import Identity
from sipbridge.cxone.digital.dfo.inbound import Inbound
from sipbridge.cxone.digital.dfo.parts import GatewayParts
from sipbridge.cxone.digital.dfo.recovery import recover_thread
from sipbridge.cxone.digital.values import Json, object_of, text_of
from sipbridge.errors import AttachmentError, ChannelRefused

LOST_SECONDS = 600.0  # without a connection; then the chat is given up
FIRST_PAUSE_SECONDS = 0.5
PAUSE_FACTOR = 1.3
MAX_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 5.0  # a connection that lasted so long ends a series of attempts

_NO_SUCH_THREAD = ("RecoveringThreadFailed", "RecoveringLivechatFailed")


class DfoSession:
    """Implements `chats.ports.ChannelSession`. `resumed`: an earlier run may have sent messages already."""

    def __init__(
        self, parts: GatewayParts, record: ChatRecord, *, resumed: bool, report: Report, is_new: Callable[[str], bool]
    ) -> None:
        self._parts = parts
        self._record = record
        self._report = report
        self._identity = Identity.of(record)
        self._maker = FrameMaker(parts.brand_id, parts.channel_id, self._identity.person, self._identity.thread_id)
        self._authorization = Authorization(self._maker, parts, resumed=resumed)
        self._inbound = Inbound(self._identity, self, report, is_new if resumed else lambda _: True)
        self._has_thread = resumed  # CXone may know the thread
        self._has_whole_thread = not resumed  # `own_messages` has all that an earlier run sent
        self._wants_whole_thread = False
        self._is_too_long = False  # the thread: one recovery does not read all of it
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._is_throttled = False
        self._is_ending = False  # nothing is sent behind `EndContact`
        self._sent: dict[str, str] = {}  # by the id of a message that was sent, the event id of its frame

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Keep a connection until cancelled, or until the gateway refuses the chat."""
        loop = asyncio.get_running_loop()
        pause, lost_at = FIRST_PAUSE_SECONDS, loop.time()
        try:
            while loop.time() - lost_at < LOST_SECONDS:
                try:
                    await self._connect()
                except ChannelRefused as refusal:
                    self._report(ChannelFailed(refusal.reason))
                    return
                except (GatewayLost, GatewayError, TimeoutError) as error:
                    self._drop()
                    self._parts.fault("not_connected", f"the chat gateway was not reached: {error}")
                    self._report(ChannelUnreachable("unreachable"))
                else:
                    opened_at = loop.time()
                    await self._serve()
                    lost_at = loop.time()
                    if lost_at - opened_at > STABLE_SECONDS:
                        pause = FIRST_PAUSE_SECONDS
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 (spreads load, hides nothing)
                pause = min(pause * PAUSE_FACTOR, MAX_PAUSE_SECONDS)
            self._report(ChannelFailed("channel_lost"))
        finally:
            self._drop()
            self._inbound.close()

    async def _connect(self) -> None:
        """Open a connection, authorize the customer and recover the thread. Raises if that fails."""
        await self._learn_settings()
        # A new chat has nothing to recover, and does not wait for those that have.
        async with self._parts.recoveries if self._has_thread else nullcontext():
            await self._open()

    async def _learn_settings(self) -> None:
        """Learn the channel's settings. Raises `ChannelRefused` if CXone has never known the channel.

        A channel that CXone has known is not given up for a gateway that starts and does not know it yet.
        """
        try:
            info = await self._parts.info()
        except ChannelRefused as refusal:
            if self._identity.livechat is None and not self._knows_thread:
                raise
            self.fault("no_channel_info", f"the settings of the channel are not known: {refusal.reason}")
        else:
            if self._identity.learn(info):
                self.keep_identity()

    async def _open(self) -> None:
        secured = self._identity.secured
        token = await self._authorization.session_token(self._identity.person) if secured else None
        connection = Connection(self._inbound.push, self.fault, self._parts.may_send)
        self._connection = connection
        # What happens before the thread is recovered is newer than what the recovery brings.
        self._inbound.hold()
        await self._parts.open(self._identity.person, token, connection)
        await self._authorization.begin(connection, token, secured=secured)
        if self._has_thread:
            await self._recover(connection)

    async def _serve(self) -> None:
        """Use the connection until it ends."""
        connection = self._connection
        if connection is None:
            return
        self._connected.set()
        self._inbound.release()
        connection.pause(on=self._is_throttled)
        try:
            await asyncio.wait([connection.ended])
        finally:
            self._drop()

    def _drop(self) -> None:
        self._connected.clear()
        self._authorization.end()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # ------------------------------------------------------------ recovery

    async def _recover(self, connection: Connection) -> None:
        """Get the state of the thread and the messages that were missed. Nothing is replayed by the gateway itself."""
        livechat = bool(self._identity.livechat)
        try:
            thread = await recover_thread(connection, self._maker, livechat=livechat, reaches_known=self._reaches_known)
        except GatewayError as error:
            if error.code in _NO_SUCH_THREAD and not self._knows_thread:  # the first message did not arrive
                self._has_whole_thread = True
                return
            raise
        await self._inbound.restore(thread.state, thread.messages)
        self._has_whole_thread = self._has_whole_thread or thread.is_whole

    def _reaches_known(self, page: Sequence[Json]) -> bool:
        return not self._wants_whole_thread and self._inbound.reaches_known(page)

    @property
    def _knows_thread(self) -> bool:
        """True if CXone has shown or confirmed that it has the thread."""
        return bool(self._identity.contact_id or self._inbound.own_messages or self._record.queued_at)

    async def _look_for(self, message: Outgoing) -> None:
        """Read the thread for a message: an earlier run may have sent it before messages that the bot has."""
        while not (message.id in self._inbound.own_messages or self._has_whole_thread or self._is_too_long):
            self._wants_whole_thread = True
            self._is_too_long = await self._recover_again() and not self._has_whole_thread
        self._wants_whole_thread = False

    async def _recover_again(self) -> bool:
        """Recover the thread on the next connection, or the present one; return False if it was lost meanwhile."""
        await self._connected.wait()
        connection = self._connection
        if connection is None:
            return False
        try:
            await self._recover(connection)
        except (GatewayLost, GatewayError):
            self._drop_if(connection)
            return False
        return True

    # ------------------------------------------------------------ to the human agent

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Send a message with the same id until the gateway confirms it, or the thread has it."""
        # First of all the thread is recovered: an earlier run may have sent the message.
        await self._connected.wait()
        if message.repeated:
            await self._look_for(message)
        if message.id in self._inbound.own_messages:
            return DeliveryStatus.DELIVERED, ""
        if message.repeated and not self._has_whole_thread:
            return DeliveryStatus.UNKNOWN, "thread_too_long"
        try:
            attachments = await self._parts.upload(message.attachments)
        except AttachmentError as error:
            return DeliveryStatus.FAILED, error.reason
        if message.opens and await self._is_offline():
            return DeliveryStatus.FAILED, "offline"
        try:
            return await self._deliver(message, attachments)
        finally:
            self._sent.pop(message.id, None)

    async def _deliver(self, message: Outgoing, attachments: Sequence[Attachment]) -> tuple[DeliveryStatus, str]:
        while True:
            await self._connected.wait()
            connection = self._connection
            if message.id in self._inbound.own_messages:
                return DeliveryStatus.DELIVERED, ""
            if self._inbound.is_over or self._is_ending:  # a message would open another contact in the thread
                return DeliveryStatus.FAILED, "chat_ended"
            if connection is None:
                continue
            made = self._maker.message(
                message.id,
                message.text,
                attachments,
                fields=self._record.custom_fields if message.opens else {},
                token=self._authorization.token,
                opens=message.opens,
            )
            self._has_thread = True
            self._sent[message.id], _ = made
            try:
                await connection.request(made, REPLY_SECONDS)
            except GatewayError as error:
                self._parts.fault("message_refused", f"the chat gateway refused a message: {error.code}"[:200])
                return DeliveryStatus.FAILED, "refused"
            except GatewayLost:
                # The thread is asked, after the next open, before it is sent again.
                self._drop_if(connection)
            else:
                self._inbound.own_messages.add(message.id)
                return DeliveryStatus.DELIVERED, ""

    def may_have(self, message: Outgoing) -> bool:
        """True if the thread has a message, or if it was sent and the thread was not asked since."""
        is_sent = message.id in self._sent or message.id in self._inbound.own_messages
        return is_sent or (message.repeated and not self._has_whole_thread)

    async def _is_offline(self) -> bool:
        """True if this is a livechat and no human agent is there: it would not take the first message."""
        return bool(self._identity.livechat) and (await self._parts.availability()).status == "offline"

    def _drop_if(self, connection: Connection) -> None:
        """Close a connection that brought no reply, unless another one is in use already."""
        if self._connection is connection:
            self._connected.clear()
            connection.close()

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types, once there is a contact."""
        if self._connected.is_set() and self._connection is not None and self._identity.contact_id:
            with suppress(GatewayLost):
                self._connection.send(self._maker.typing(on=on)[1])

    def throttle(self, on: bool) -> None:  # noqa: FBT001 (its one argument)
        """Leave what the gateway sends in TCP while `on`. Another connection reads until it has recovered."""
        self._is_throttled = on
        if self._connection is not None and self._connected.is_set():
            self._connection.pause(on=on)

    async def end(self, closing_text: str) -> None:
        """Send the text to the human agent, then end a livechat. Messaging has no such event."""
        if not await self._find_thread():
            return
        closing = Outgoing(self._record.derived_id("closing"), closing_text)
        if not self._identity.livechat:
            await self.send(closing)
            return
        await say_last(self.send(closing))
        while not self._inbound.is_over:
            await self._connected.wait()
            connection = self._connection
            if connection is None:
                continue
            try:
                if not self._identity.contact_id:  # its event may be late or lost
                    await self._recover(connection)
                if self._identity.contact_id:
                    self._is_ending = True
                    await connection.request(self._maker.end_contact(self._identity.contact_id), REPLY_SECONDS)
            except GatewayLost:
                self._drop_if(connection)
            except GatewayError as error:
                self.fault("end_refused", f"the chat gateway refused to end a contact: {error.code}"[:200])
                return
            else:
                return

    async def _find_thread(self) -> bool:
        """True if CXone has the thread. The response to the first message may have been lost: then it is asked."""
        while True:
            await self._connected.wait()
            if self._knows_thread or await self._recover_again():
                return self._knows_thread

    # ------------------------------------------------------------ for received events

    def fault(self, word: str, text: str) -> None:
        """Report a fault of the channel."""
        self._parts.fault(word, text)

    def confirm(self, message_id: str) -> None:
        """Take a message that the thread shows as acknowledged: the acknowledgement may be late or lost."""
        event_id = self._sent.get(message_id)
        if event_id is not None and self._connection is not None:
            self._connection.deliver(Reply(event_id, "", {}))

    def keep_identity(self) -> None:
        """Keep the ids of the chat, for a restart and for the CRM."""
        self._report(ChannelStateChanged(self._identity.as_state()))

    def deliver(self, frame: Frame) -> None:
        """Give a large reply to its request, if the connection of that is still the one in use."""
        if self._connection is not None:
            self._connection.deliver(frame)

    def reconnect(self) -> None:
        """Open another connection: its recovery brings what this one did not."""
        if self._connection is not None:
            self._drop_if(self._connection)

    async def fetch_event(self, url: str) -> object:
        """Return an event that was too large for the socket. Raises `HttpError`."""
        return await self._parts.fetch_event(url)

    async def fetch_body(self, message_id: str) -> Json:
        """Return the whole body of a message that came shortened. Raises `GatewayLost` or `GatewayError`."""
        connection = self._connection
        if connection is None:
            raise GatewayLost("the connection has ended")
        path = self._parts.message_path(message_id)
        reply = await connection.request(self._maker.authorize_url(path), REPLY_SECONDS)
        token = text_of(object_of(reply.data.get("authorizationToken")).get("token"))
        return await self._parts.fetch_message(path, token)
