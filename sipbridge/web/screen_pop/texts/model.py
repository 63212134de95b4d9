"""The words that a language must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sipbridge.config import PageLanguage


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of one language.

    `roles` are the speakers before the handoff, and `human` is the one after it. `reasons` are the reasons that the
    bridge itself gives for a handoff.
    """

    language: PageLanguage
    title: str
    unknown_caller: str
    unknown_customer: str
    reason: str
    destination: str
    last_words: str
    details: str
    conversation: str
    no_conversation: str
    earlier: str
    whole: str
    ids: str
    assistant: str
    talked: str
    started: str
    called: str
    call_id: str
    chat_id: str
    contact_id: str
    main_contact_id: str
    shared_id: str
    channel: str
    email: str
    phone: str
    copy: str
    copied: str
    press_copy: str
    live: str
    pause: str
    go_on: str
    paused: str
    reconnecting: str
    not_live: str
    no_script: str
    since_handoff: str
    waiting: str
    waited: str
    connecting: str
    handed_over: str
    unconfirmed: str
    connected: str
    failed: str
    hung_up: str
    taken_back: str
    taken_back_over: str
    call_over: str
    queued: str
    chatting: str
    chat_over: str
    chat_failed: str
    timed_out: str
    expired: str
    expired_help: str
    invalid: str
    invalid_help: str
    erased: str
    erased_help: str
    unavailable: str
    unavailable_help: str
    human: str
    roles: Mapping[str, str]
    reasons: Mapping[str, str]
