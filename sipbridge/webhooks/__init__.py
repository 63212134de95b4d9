"""Webhooks: the events of chats, posted to the bot platform of their project."""

from sipbridge.webhooks.model import DeliveryOutcome, DeliveryResult, Webhook
from sipbridge.webhooks.sender import WebhookSender
from sipbridge.webhooks.signature import find_fault

__all__ = ["DeliveryOutcome", "DeliveryResult", "Webhook", "WebhookSender", "find_fault"]
