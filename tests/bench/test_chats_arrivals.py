from __future__ import annotations

from typing import Any

import pytest

from tests.bench.chats_arrivals import Arrivals, count_out_of_order
from tests.bench.chats_report import Cost, Rate

SENT_AT = 1_764_000_000.0
Json = dict[str, Any]


def text(number: int) -> str:
    return f"{number} {SENT_AT:.6f} xxx"


def at_desk(number: int, direction: str, second: int, milliseconds: int) -> Json:
    at = f"2025-11-24T16:00:{second:02}.{milliseconds:03}+00:00"
    return {"id": f"ID-{number}", "text": text(number), "direction": direction, "at": at}


def at_webhook(number: int, seconds: float, sequence: int = 1) -> tuple[float, Json]:
    payload = {"text": text(number), "message_id": f"id-{number}"}
    return SENT_AT + seconds, {"type": "agent_message", "sequence": sequence, "chat_id": "c", "payload": payload}


def rate_of(arrivals: Arrivals, numbers: range) -> Rate:
    rate = Rate(per_second=10, messages=2 * len(numbers), cost=Cost(0, 0, 0, 0))
    arrivals.judge(rate, numbers)
    return rate


def test_each_way_has_its_own_delay_even_if_ids_change_their_case() -> None:
    messages = [at_desk(7, "inbound", 0, 10), at_desk(7, "outbound", 0, 30)]
    rate = rate_of(Arrivals.of({"chat": messages}, [at_webhook(7, 0.055)]), range(7, 8))
    assert (rate.lost, rate.doubled) == (0, 0)
    assert rate.delays["to_agent"]["p50"] == pytest.approx(10, abs=0.01)
    assert rate.delays["to_bot"]["p50"] == pytest.approx(25, abs=0.01)


def test_a_message_counts_as_lost_once_for_each_way_that_it_did_not_arrive() -> None:
    messages = [at_desk(1, "inbound", 0, 10), at_desk(1, "outbound", 0, 20)]
    assert rate_of(Arrivals.of({"chat": messages}, []), range(3)).lost == 2 + 3


def test_a_message_that_arrives_three_times_counts_as_doubled_twice_with_its_first_delay() -> None:
    messages = [at_desk(1, "inbound", 0, place) for place in (10, 20, 30)]
    rate = rate_of(Arrivals.of({"chat": messages}, []), range(1, 2))
    assert rate.doubled == 2
    assert rate.delays["to_agent"]["p99"] == pytest.approx(10, abs=0.01)


def test_messages_of_another_rate_do_not_count() -> None:
    messages = [at_desk(number, "inbound", 1, 0) for number in (4, 5, 5)]
    rate = rate_of(Arrivals.of({"chat": messages}, []), range(4, 5))
    assert (rate.lost, rate.doubled) == (1, 0)


def test_texts_without_a_number_are_not_messages_of_the_benchmark() -> None:
    greeting = {"id": "g", "text": "hello", "direction": "inbound", "at": "2025-11-24T16:00:00+00:00"}
    arrivals = Arrivals.of({"chat": [greeting]}, [])
    assert (dict(arrivals.to_agent), dict(arrivals.to_bot)) == ({}, {})


@pytest.mark.parametrize(
    ("sequences", "wrong"), [([1, 2, 3], 0), ([1, 3, 2], 2), ([1, 1, 2], 1), ([1, 3, 4], 1), ([1, None, 2], 0)]
)
def test_an_event_is_out_of_order_unless_its_sequence_is_the_next_of_its_chat(
    sequences: list[int | None], wrong: int
) -> None:
    events = [(0.0, {"chat_id": chat, "sequence": sequence}) for sequence in sequences for chat in ("a", "b")]
    assert count_out_of_order(events) == 2 * wrong
