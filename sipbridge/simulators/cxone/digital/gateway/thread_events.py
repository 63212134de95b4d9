"""The events of threads: their recovery, older messages, and what is known of them."""

from __future__ import annotations

from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.call import ACKNOWLEDGED, Call, Reply
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Json, Malformed
from sipbridge.simulators.cxone.digital.gateway.wire import a_message, a_thread, a_user, recovered


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
