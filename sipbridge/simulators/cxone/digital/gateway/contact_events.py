"""The events of a contact: messages, typing, custom fields, and the end."""

from __future__ import annotations

from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.authorizing import require_access_token
from sipbridge.simulators.cxone.digital.gateway.call import ACKNOWLEDGED, Call, Reply
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Malformed
from sipbridge.simulators.cxone.digital.gateway.threads import Thread
from sipbridge.simulators.cxone.digital.messages import Direction


def send_message(call: Call) -> Reply:
    """SendMessage."""
    data = call.data
    fields = frames.custom_fields(frames.an_object(data, "consumerContact", "contact"))
    customer_fields = frames.custom_fields(frames.an_object(data, "consumer", "customer"))
    frames.an_object(data, "browserFingerprint", "deviceFingerprint")
    if call.channel.authorization and not call.channel.secured_sessions:
        require_access_token(call, "SendingMessageFailed")
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


def end_contact(call: Call) -> Reply:
    """EndContact: livechat only."""
    if not call.channel.is_livechat:
        raise Malformed("EndContact is for livechat only")
    conversation = call.current_contact()
    call.check_contact(conversation)
    conversation.set_status("closed", by="customer")
    return ACKNOWLEDGED
