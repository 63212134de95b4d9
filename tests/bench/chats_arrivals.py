"""The fate of the numbered messages: lost, doubled, their delays, and the order of events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from .chats_report import Rate, quantile

Json = dict[str, Any]


@dataclass(frozen=True)
class Arrivals:
    """The delays of each message, in seconds, by its number: one for each time that it arrived."""

    to_agent: Mapping[int, list[float]]
    to_bot: Mapping[int, list[float]]

    @classmethod
    def of(cls, at_desk: Mapping[str, Sequence[Json]], events: Iterable[tuple[float, Json]]) -> Self:
        """Read the conversations at the simulator, and the events with the times of their arrival.

        A text begins with its number and the time when the bot sent it; the agent repeats the text.
        """
        to_agent: defaultdict[int, list[float]] = defaultdict(list)
        sent_back: dict[str, float] = {}
        for message in (each for messages in at_desk.values() for each in messages):
            at = datetime.fromisoformat(message["at"]).timestamp()
            if message["direction"] == "outbound":
                sent_back[message["id"].lower()] = at
            elif message["text"][:1].isdigit():
                number, sent_at, *_ = message["text"].split()
                to_agent[int(number)].append(at - float(sent_at))
        to_bot: defaultdict[int, list[float]] = defaultdict(list)
        for at, event in events:
            if event["type"] == "agent_message" and event["payload"]["text"][:1].isdigit():
                number = int(event["payload"]["text"].split()[0])
                to_bot[number].append(at - sent_back[event["payload"]["message_id"].lower()])
        return cls(to_agent, to_bot)

    def judge(self, rate: Rate, numbers: Iterable[int]) -> None:
        """Add the fate of the messages with these numbers, each way."""
        numbers = list(numbers)
        for way, arrived in (("to_agent", self.to_agent), ("to_bot", self.to_bot)):
            found = [arrived.get(number, []) for number in numbers]
            rate.lost += sum(not each for each in found)
            rate.doubled += sum(len(each) - 1 for each in found if each)
            delays = sorted(1000 * each[0] for each in found if each)
            rate.delays[way] = {"p50": quantile(delays, 0.5), "p99": quantile(delays, 0.99)}


def count_out_of_order(events: Iterable[tuple[float, Json]]) -> int:
    """Count the events of a chat that arrived with another sequence than the next one."""
    last: Counter[str] = Counter()
    wrong = 0
    for _, event in events:
        if event["sequence"] is not None:
            wrong += event["sequence"] != last[event["chat_id"]] + 1
            last[event["chat_id"]] = event["sequence"]
    return wrong
