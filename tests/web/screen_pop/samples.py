"""A call and a chat as a human agent would get them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn
from tests.store.records import make_handoff, make_record

SUMMARY = "Ordered two lamps. One arrived broken, and she wants her money back, not a new lamp."
TALK = (
    ("agent", "Good morning, this is Lumen Lights. How can I help?"),
    ("caller", "Hello, I got my lamps yesterday, and one of them is broken."),
    ("agent", "I am sorry to hear that. What is the number of your order?"),
    ("caller", "A seven, four four one, zero nine."),
    ("agent", "Thank you, Ms Weber. I can send you a new lamp at no cost."),
    ("caller", "No thanks. I would rather have my money back."),
    ("agent", "For a refund I need a colleague. Is that all right?"),
    ("caller", "Yes, but please tell them all this, so that I do not have to say it again."),
)
DATA = {
    "customer_name": "Johanna Weber",
    "summary": SUMMARY,
    "order_id": "A7-441-09",
    "customer_id": "C-20871",
    "order_total": "138.00 EUR",
    "address_checked": True,
    "ticket_id": None,
    "items": [{"sku": "LMP-3", "count": 2}],
}


def handoff(**changes: Any) -> HandoffRecord:  # noqa: ANN401 (any field)
    """A handoff that began 42 seconds ago."""
    fields: dict[str, Any] = {
        "reason": "refund_requested",
        "data": DATA,
        "utterance": "One moment, a colleague takes over.",
        "handoff_at": datetime.now(UTC) - timedelta(seconds=42),
    }
    return make_handoff(**fields | changes)


def call(given: HandoffRecord | None = None, **changes: Any) -> CallRecord:  # noqa: ANN401 (any field)
    """A call that is being handed off."""
    given = given or handoff()
    began = given.handoff_at - timedelta(seconds=139)
    turns = tuple(
        Turn.model_validate({"role": role, "text": text, "at": began + timedelta(seconds=8 + 15 * number)})
        for number, (role, text) in enumerate(TALK)
    )
    fields: dict[str, Any] = {
        "state": CallState.HANDING_OFF,
        "handoff": given,
        "transcript": turns,
        "started_at": began,
        "answered_at": began + timedelta(seconds=6),
        "caller": "+4930901820",
        "contact_id": "115500123456",
        "main_contact_id": "115500123450",
    }
    return make_record(**fields | changes)


def handed_over() -> CallRecord:
    """The same call, once CXone has its caller."""
    done = handoff(state=HandoffState.COMPLETED, confirmed=True, finished_at=datetime.now(UTC))
    return call(done, state=CallState.ENDED, ended_at=datetime.now(UTC), ended_by="caller")


def returned() -> CallRecord:
    """The same call, once its agent has got the caller back."""
    back = handoff(state=HandoffState.FAILED, taken_back=True, finished_at=datetime.now(UTC))
    return call(back, state=CallState.TALKING)


def long_call() -> CallRecord:
    """A call with long words, long values and many of both."""
    data = {f"field_{number}": "value " * number for number in range(1, 20)} | {"a" * 80: "b" * 400}
    turns = [{"role": ("caller", "agent")[number % 2], "text": f"{number} " + "word " * 40} for number in range(150)]
    return call(handoff(data=data, reason="x" * 120), transcript=turns, caller="sip:" + "c" * 90)
