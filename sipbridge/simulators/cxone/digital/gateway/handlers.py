"""The events of the client: each checks its data, acts, and returns its reply."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.connection import Connection
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Json, Malformed
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway
from sipbridge.simulators.cxone.digital.gateway.threads import Thread
from sipbridge.simulators.cxone.digital.gateway.wire import a_message, a_thread, a_user, recovered
from sipbridge.simulators.cxone.digital.messages import Customer, Direction

# The reply: its event type and data. None: the event has no reply.
Reply = tuple[str, Json] | None
# NICE documents no reply to these events: any frame with the eventId and without an error acknowledges them.
ACKNOWLEDGED: Reply = ("Acknowledged", {})

_MESSAGE_PATH = re.compile(r"/chat/1\.0/brand/(\d+)/messages/[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Call:
    """One event: who sent it, and its data."""

    gateway: Gateway
    connection: Connection
    event_type: str
    customer: Customer  # as the frame says, with the names
    data: Json

    @property
    def channel_id(self) -> str:
        """The id of the channel."""
        return self.connection.channel_id

    @property
    def channel(self) -> Channel:
        """The channel with its present settings."""
        channel = self.gateway.channels.by_id.get(self.channel_id)
        if channel is None:
            raise Malformed("the channel does not exist any more")
        return channel

    def own_thread(self, failure: str = "InconsistentData") -> Thread:
        """Return the thread of the event, which must be one of this customer."""
        thread = self.gateway.threads.find(self.channel_id, frames.thread_id(self.data))
        if thread is None or thread.customer.id != self.customer.id:
            raise FrameError(failure, "the customer has no such thread")
        return thread

    def current_contact(self) -> Conversation:
        """Return the open contact of the thread."""
        conversation = self.own_thread().current
        if conversation is None:
            raise Malformed("the thread has no open contact")
        return conversation

    def check_contact(self, conversation: Conversation) -> None:
        """Check that the event is for this contact."""
        if frames.a_text(frames.an_object(self.data, "contact"), "id") != conversation.id:
            raise Malformed("contact.id is not the open contact of the thread")


Handler = Callable[[Call], Reply]


def authorize(call: Call) -> Reply:
    """AuthorizeCustomer. Secured sessions have no such frame: their token is in the URL."""
    connection, channel, data = call.connection, call.channel, call.data
    if channel.secured_sessions:
        raise FrameError("ConsumerAuthorizationFailed", "the channel has secured sessions; the token is in the URL")
    for name in ("sdkPlatform", "sdkVersion"):
        frames.a_text(data, name)
    code = frames.optional_text(frames.an_object(data, "authorization"), "authorizationCode")
    reply: dict[str, object] = {"consumerIdentity": _identity(call.customer), "status": "success"}
    if channel.authorization:
        if not is_valid_code(code):
            raise FrameError("ConsumerAuthorizationFailed", "the authorizationCode is missing or invalid")
        reply["accessToken"] = _access_token(call)
    if data.get("disableChannelInfo") is not True:
        reply["channel"] = channel.as_config()
    connection.customer = call.customer
    connection.is_authorized = True
    call.gateway.known_customers.add((channel.id, call.customer.id))
    return "ConsumerAuthorized", reply


def is_valid_code(code: str | None) -> bool:
    """True if an authorization code is valid: any that does not start with "invalid"."""
    return bool(code) and not str(code).startswith("invalid")


def reconnect(call: Call) -> Reply:
    """ReconnectConsumer, on iOS ReconnectCustomer."""
    who = call.event_type.removeprefix("Reconnect")
    connection, channel = call.connection, call.channel
    if (channel.id, call.customer.id) not in call.gateway.known_customers:
        raise FrameError(f"{who}ReconnectionFailed", "the customer was not authorized before")
    if channel.authorization and not channel.secured_sessions:
        _require_access_token(call, f"{who}ReconnectionFailed")
    connection.is_authorized = True
    return f"{who}Reconnected", {}


def refresh_token(call: Call) -> Reply:
    """RefreshToken."""
    _require_access_token(call, "TokenRefreshingFailed")
    return "TokenRefreshed", {"accessToken": _access_token(call)}


def send_message(call: Call) -> Reply:
    """SendMessage."""
    data = call.data
    fields = frames.custom_fields(frames.an_object(data, "consumerContact", "contact"))
    customer_fields = frames.custom_fields(frames.an_object(data, "consumer", "customer"))
    frames.an_object(data, "browserFingerprint", "deviceFingerprint")
    if call.channel.authorization and not call.channel.secured_sessions:
        _require_access_token(call, "SendingMessageFailed")
    return _post(call, "inbound", fields, customer_fields)


def send_outbound(call: Call) -> Reply:
    """SendOutbound: a message of the brand's side, such as a welcome or what a bot said."""
    return _post(call, "outbound", {}, {})


def _post(
    call: Call, direction: Direction, fields: dict[str, str | None], customer_fields: dict[str, str | None]
) -> Reply:
    data = call.data
    files = frames.attachments(data)
    content = frames.message_content(data, has_attachments=bool(files))
    external_id = frames.a_uuid(data)
    thread = _thread_of_message(call)
    if call.gateway.settings.deduplicate and any(each.external_id == external_id for each in thread.messages):
        return ACKNOWLEDGED
    conversation = thread.current
    if conversation is None:
        conversation = call.gateway.open_contact(thread, call.customer, fields, customer_fields)
    else:
        conversation.set_fields(fields, customer_fields)
    conversation.receive(content, external_id=external_id, attachments=files, direction=direction)
    return ACKNOWLEDGED


def _thread_of_message(call: Call) -> Thread:
    """Return the thread of a message, which the first message creates. Livechat needs an online channel for it."""
    channel, external_id = call.channel, frames.thread_id(call.data)
    name = frames.optional_text(frames.an_object(call.data, "thread"), "threadName") or ""
    thread = call.gateway.threads.find(channel.id, external_id)
    if thread is None:
        if channel.is_livechat and not channel.is_online():
            raise FrameError("SendingMessageFailed", "the channel is offline")
        thread = Thread(channel.id, external_id, call.customer, name)
        call.gateway.threads.add(thread)
    elif thread.customer.id != call.customer.id:
        raise FrameError("SendingMessageFailed", "the thread belongs to another customer")
    elif thread.is_archived:
        raise FrameError("SendingMessageFailed", "the thread is archived")
    elif channel.is_livechat and thread.last is not None and thread.current is None:
        raise FrameError("SendingMessageFailed", "the livechat has ended; start another thread")
    return thread


def show_typing(call: Call) -> Reply:
    """SenderTypingStarted and SenderTypingEnded: without a reply, and only once a contact exists."""
    call.current_contact().show_customer_typing(on=call.event_type == "SenderTypingStarted")
    return None


def end_contact(call: Call) -> Reply:
    """EndContact: livechat only."""
    if not call.channel.is_livechat:
        raise Malformed("EndContact is for livechat only")
    conversation = call.current_contact()
    call.check_contact(conversation)
    conversation.set_status("closed", by="customer")
    return ACKNOWLEDGED


def recover_thread(call: Call) -> Reply:
    """RecoverThread: without a thread the customer's last."""
    if call.channel.is_livechat:
        raise FrameError("RecoveringThreadFailed", "the channel is a livechat channel")
    return "ThreadRecovered", _recovered(call, "RecoveringThreadFailed")


def recover_livechat(call: Call) -> Reply:
    """RecoverLivechat: without a thread the customer's last, if it has not ended."""
    if not call.channel.is_livechat:
        raise FrameError("RecoveringLivechatFailed", "the channel is a messaging channel")
    return "LivechatRecovered", _recovered(call, "RecoveringLivechatFailed")


def _recovered(call: Call, failure: str) -> Json:
    if frames.optional_object(call.data, "thread") is not None:
        thread = call.own_thread(failure)
    else:
        threads = call.gateway.threads.of_customer(call.channel_id, call.customer.id)
        open_threads = [each for each in threads if each.current is not None or not call.channel.is_livechat]
        if not open_threads:
            raise FrameError(failure, "the customer has no thread")
        thread = open_threads[-1]
    return recovered(thread, call.gateway.settings.page_size)


def load_more_messages(call: Call) -> Reply:
    """LoadMoreMessages."""
    thread = call.own_thread()
    frames.a_text(call.data, "oldestMessageDatetime")
    page = thread.before(frames.a_text(call.data, "scrollToken"), call.gateway.settings.page_size)
    if page is None:
        raise Malformed("scrollToken is not one of this thread")
    messages, token = page
    return "MoreMessagesLoaded", {"messages": [a_message(each, thread) for each in messages], "scrollToken": token}


def fetch_thread_list(call: Call) -> Reply:
    """FetchThreadList."""
    threads = call.gateway.threads.of_customer(call.channel_id, call.customer.id)
    return "ThreadListFetched", {"threads": [a_thread(thread) for thread in threads]}


def load_thread_metadata(call: Call) -> Reply:
    """LoadThreadMetadata."""
    thread = call.own_thread()
    last = a_message(thread.messages[-1], thread) if thread.messages else None
    return "ThreadMetadataLoaded", {
        "lastMessage": last,
        "ownerAssignee": a_user(thread.last.owner if thread.last else None),
    }


def archive_thread(call: Call) -> Reply:
    """ArchiveThread: no more messages can be added."""
    call.own_thread().is_archived = True
    return "ThreadArchived", {}


def update_thread(call: Call) -> Reply:
    """UpdateThread: its name."""
    call.own_thread().name = frames.a_text(frames.an_object(call.data, "thread"), "threadName")
    return ACKNOWLEDGED


def mark_seen(call: Call) -> Reply:
    """MessageSeenByConsumer and MessageSeenByCustomer."""
    thread = call.own_thread()
    if thread.last is not None:
        thread.last.mark([each for each in thread.messages if each.direction == "outbound"], "seen_by_customer")
    return ACKNOWLEDGED


def set_contact_fields(call: Call) -> Reply:
    """SetConsumerContactCustomFields (web), and SetContactCustomFields (mobile), which has the contact's id."""
    fields = frames.custom_fields(call.data)
    conversation = call.current_contact()
    if call.event_type == "SetContactCustomFields":
        call.check_contact(conversation)
    conversation.set_fields(fields)
    return ACKNOWLEDGED


def set_customer_fields(call: Call) -> Reply:
    """SetConsumerCustomFields and SetCustomerCustomFields: in every open contact of the customer."""
    fields = frames.custom_fields(call.data)
    for thread in call.gateway.threads.of_customer(call.channel_id, call.customer.id):
        if thread.current is not None:
            thread.current.set_fields(customer_fields=fields)
    return ACKNOWLEDGED


def generate_authorization_token(call: Call) -> Reply:
    """GenerateAuthorizationToken: a Bearer token for the path of one message."""
    call.own_thread()
    path = frames.a_text(call.data, "url")
    found = _MESSAGE_PATH.fullmatch(path)
    if found is None or found[1] != str(call.gateway.channels.brand_id):
        raise Malformed("url must be the path of a message: /chat/1.0/brand/{id}/messages/{id}")
    gateway = call.gateway
    token = gateway.tokens.issue("message", call.channel_id, call.customer, gateway.settings.token_seconds, path=path)
    return "AuthorizationTokenGenerated", {"authorizationToken": {"token": token}}


def _identity(customer: Customer) -> dict[str, str]:
    return {
        "idOnExternalPlatform": customer.id,
        "firstName": customer.first_name,
        "lastName": customer.last_name,
    }


def _access_token(call: Call) -> dict[str, object]:
    seconds = call.gateway.settings.token_seconds
    token = call.gateway.tokens.issue("access", call.channel_id, call.customer, seconds)
    return {"token": token, "expiresIn": seconds}


def _require_access_token(call: Call, failure: str) -> None:
    value = (frames.optional_object(call.data, "accessToken") or {}).get("token")
    token = call.gateway.tokens.check(value, "access", call.channel_id)
    if token is None or token.customer.id != call.customer.id:
        raise FrameError(failure, "the accessToken is missing, unknown or expired")


HANDLERS: dict[str, Handler] = {
    "AuthorizeCustomer": authorize,
    "ReconnectConsumer": reconnect,
    "ReconnectCustomer": reconnect,
    "RefreshToken": refresh_token,
    "SendMessage": send_message,
    "SendOutbound": send_outbound,
    "SenderTypingStarted": show_typing,
    "SenderTypingEnded": show_typing,
    "EndContact": end_contact,
    "RecoverThread": recover_thread,
    "RecoverLivechat": recover_livechat,
    "LoadMoreMessages": load_more_messages,
    "FetchThreadList": fetch_thread_list,
    "LoadThreadMetadata": load_thread_metadata,
    "ArchiveThread": archive_thread,
    "UpdateThread": update_thread,
    "MessageSeenByConsumer": mark_seen,
    "MessageSeenByCustomer": mark_seen,
    "SetConsumerContactCustomFields": set_contact_fields,
    "SetContactCustomFields": set_contact_fields,
    "SetConsumerCustomFields": set_customer_fields,
    "SetCustomerCustomFields": set_customer_fields,
    "GenerateAuthorizationToken": generate_authorization_token,
}
# The events that an unauthorized socket may send; others are lost.
OPENING_EVENTS = frozenset({"AuthorizeCustomer", "ReconnectConsumer", "ReconnectCustomer"})
