"""A message of the customer, as DFO REST takes it."""

from __future__ import annotations

from datetime import UTC, datetime

from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import Outgoing
from sipbridge.cxone.digital.values import Json


def customer_id_of(record: ChatRecord) -> str:
    """Return the id of the customer at CXone: for SMS the phone number."""
    customer = record.customer
    return customer.phone or customer.id or record.derived_id("customer")


def customer_message(record: ChatRecord, thread_id: str, message: Outgoing) -> Json:
    """Return the body of the request. The custom fields go with the first message."""
    customer = record.customer
    body: Json = {
        "idOnExternalPlatform": message.id,
        "direction": "inbound",
        "createdAtWithMilliseconds": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "thread": {"idOnExternalPlatform": thread_id},
        "messageContent": {"type": "TEXT", "payload": {"text": message.text}},
        "authorEndUserIdentity": {
            "idOnExternalPlatform": customer_id_of(record),
            "firstName": customer.first_name or "Customer",
            "lastName": customer.last_name,
            "nickname": customer.phone or customer.id,
            "image": "",
        },
        "attachments": [{"friendlyName": each.name or "file", "url": each.url} for each in message.attachments],
    }
    if message.opens and record.custom_fields:
        fields = [{"ident": name, "value": value} for name, value in record.custom_fields.items()]
        body["contact"] = {"customFields": fields}
    return body
