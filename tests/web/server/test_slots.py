"""The limits on concurrent requests: per key, per client and in total."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sipbridge.web.server import slots
from sipbridge.web.server.connections import MAX_CONNECTIONS
from sipbridge.web.server.errors import TooManyRequests
from sipbridge.web.server.slots import Slots


def test_all_keys_together_leave_connections_for_probes_and_pop_links() -> None:
    assert slots.MAX_PER_KEY < slots.MAX_PER_CLIENT < slots.MAX_TOTAL <= MAX_CONNECTIONS - 64


@pytest.mark.parametrize(
    ("keys", "clients", "most", "words"),
    [
        (1, 1, slots.MAX_PER_KEY, "with this key"),
        (1000, 1, slots.MAX_PER_CLIENT, "of this account"),
        (1000, 1000, slots.MAX_TOTAL, "with all keys"),
    ],
)
def test_a_request_over_a_limit_is_refused_until_one_ends(keys: int, clients: int, most: int, words: str) -> None:
    taken = Slots()
    with ExitStack() as stack:
        for number in range(most):
            stack.enter_context(taken.hold(f"key {number % keys}", f"client {number % clients}"))
        with pytest.raises(TooManyRequests, match=words), taken.hold("key 0", "client 0"):
            pass
        with pytest.raises(TooManyRequests, match=words), taken.hold("key 0", "client 0"):
            pass
    with taken.hold("key 0", "client 0"):
        pass


def test_other_keys_and_clients_are_served_meanwhile() -> None:
    taken = Slots()
    with ExitStack() as stack:
        for _ in range(slots.MAX_PER_KEY):
            stack.enter_context(taken.hold("greedy", "acme"))
        stack.enter_context(taken.hold("other", "acme"))
        stack.enter_context(taken.hold("third", "globex"))


def test_a_slot_is_released_when_the_handler_fails() -> None:
    taken = Slots()
    for _ in range(slots.MAX_TOTAL + 1):
        with pytest.raises(ZeroDivisionError), taken.hold("key", "client"):
            raise ZeroDivisionError
