"""The values of the delivery of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Webhook:
    """The URL of a bot platform that gets the events of a project, and the secret that signs them."""

    url: str
    secret: bytes = field(repr=False)
    allow_private_addresses: bool = False


class DeliveryResult(StrEnum):
    """The result of an attempt to deliver an event, or the end of all attempts."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good, by a 3xx or a 4xx
    RETRIED = "retried"  # no response, 408, 429 or 5xx: another attempt follows
    GIVEN_UP = "given_up"  # after 24 hours
    DROPPED = "dropped"  # a typing event that was late or failed, or an event whose project has no webhook any more


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """A result, for metrics. `seconds` is the duration of the attempt, None if nothing was sent."""

    client: str
    project: str
    result: DeliveryResult
    seconds: float | None = None
