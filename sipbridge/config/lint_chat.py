"""Warnings about `chat`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from sipbridge.config.addresses import is_unencrypted_and_remote
from sipbridge.config.chat import ChatConfig
from sipbridge.config.chat_channels import DfoChannelConfig, PatronChannelConfig
from sipbridge.config.webhook import WebhookConfig

_URLS = ("gateway_url", "rest_url", "oauth_url", "api_url", "token_url")


def chat_warnings(chat: ChatConfig) -> Iterator[str]:
    """Return what works in a `chat` section but is probably not intended, or is less safe than it looks."""
    for name, channel in chat.channels.items():
        place = f"chat.channels.{name}"
        for key in _URLS:
            if is_unencrypted_and_remote(getattr(channel, key, None)):
                yield f"{place}.{key}: chats and credentials travel unencrypted; write https:// or wss://"
        if isinstance(channel, DfoChannelConfig) and not channel.channel_id.startswith("chat_"):
            yield f"{place}.channel_id: does not begin with chat_, as those of chat channels do; check it in Digital"
        if isinstance(channel, PatronChannelConfig) and "p1" in channel.poc_url.query:
            yield f"{place}.poc_url: its P1 and further ones are not sent; write them in parameters"
    for position, pattern in enumerate(chat.attachment_hosts):
        if pattern.startswith("*.") and "." not in pattern[2:]:
            yield f"chat.attachment_hosts[{position}]: allows every host of a top-level domain; name your own domain"
    if chat.webhook is not None and not chat.allow_private_addresses:
        yield from webhook_warnings(chat.webhook, "chat.webhook")


def webhook_warnings(webhook: WebhookConfig, place: str) -> Iterator[str]:
    """Return a warning if nothing can be sent to the receiver."""
    if not webhook.allow_private_addresses and _is_private(webhook.url):
        yield f"{place}.url: is a private address, so nothing is sent there; set {place}.allow_private_addresses"


def _is_private(url: str) -> bool:
    """True for an address of a private network. Loopback is this machine, where a webhook may always be."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:  # a name
        return False
    return address.is_private and not address.is_loopback
