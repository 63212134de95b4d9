"""Webhooks: the events of calls and chats, posted to the receiver of their project."""

from sipbridge.webhooks.calls import CallSource, CallWebhooks
from sipbridge.webhooks.chats import ChatSource, ChatWebhooks
from sipbridge.webhooks.held_ends import HeldEnds
from sipbridge.webhooks.model import DeliveryOutcome, DeliveryResult, Webhook
from sipbridge.webhooks.sender import WebhookSender
from sipbridge.webhooks.signature import find_fault

__all__ = [
    "CallSource",
    "CallWebhooks",
    "ChatSource",
    "ChatWebhooks",
    "DeliveryOutcome",
    "DeliveryResult",
    "HeldEnds",
    "Webhook",
    "WebhookSender",
    "find_fault",
]
