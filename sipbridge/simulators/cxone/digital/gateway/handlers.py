"""The handlers of the client's events: each checks its data, acts, and returns its reply."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.simulators.cxone.digital.gateway import authorizing, contact_events, thread_events
from sipbridge.simulators.cxone.digital.gateway.call import Call, Reply

Handler = Callable[[Call], Reply]

HANDLERS: dict[str, Handler] = {
    "AuthorizeCustomer": authorizing.authorize,
    "ReconnectConsumer": authorizing.reconnect,
    "ReconnectCustomer": authorizing.reconnect,
    "RefreshToken": authorizing.refresh_token,
    "SendMessage": contact_events.send_message,
    "SendOutbound": contact_events.send_outbound,
    "SenderTypingStarted": contact_events.show_typing,
    "SenderTypingEnded": contact_events.show_typing,
    "EndContact": contact_events.end_contact,
    "RecoverThread": thread_events.recover_thread,
    "RecoverLivechat": thread_events.recover_livechat,
    "LoadMoreMessages": thread_events.load_more_messages,
    "FetchThreadList": thread_events.fetch_thread_list,
    "LoadThreadMetadata": thread_events.load_thread_metadata,
    "ArchiveThread": thread_events.archive_thread,
    "UpdateThread": thread_events.update_thread,
    "MessageSeenByConsumer": contact_events.mark_seen,
    "MessageSeenByCustomer": contact_events.mark_seen,
    "SetConsumerContactCustomFields": contact_events.set_contact_fields,
    "SetContactCustomFields": contact_events.set_contact_fields,
    "SetConsumerCustomFields": contact_events.set_customer_fields,
    "SetCustomerCustomFields": contact_events.set_customer_fields,
    "GenerateAuthorizationToken": authorizing.generate_authorization_token,
}
# The events that an unauthorized socket may send; others are lost.
OPENING_EVENTS = frozenset({"AuthorizeCustomer", "ReconnectConsumer", "ReconnectCustomer"})
