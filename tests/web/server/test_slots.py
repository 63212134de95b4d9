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


def test_each_chat_in_progress_has_slots_of_its_own_for_readers() -> None:
    taken = Slots()
    with ExitStack() as stack:
        for _ in range(slots.MAX_PER_KEY):
            stack.enter_context(taken.hold("key", "acme"))
        for number in range(1000):
            stack.enter_context(taken.hold_stream(f"chat {number}", "key", "acme"))
        assert taken.streams == 1000
    assert taken.streams == 0


def test_more_readers_of_one_chat_take_the_slots_of_their_key() -> None:
    taken = Slots()
    with ExitStack() as stack:
        for _ in range(slots.STREAMS_PER_CHAT + slots.MAX_PER_KEY):
            stack.enter_context(taken.hold_stream("chat", "key", "acme"))
        assert taken.streams == slots.STREAMS_PER_CHAT
        with pytest.raises(TooManyRequests, match="with this key"), taken.hold_stream("chat", "key", "acme"):
            pass


def test_requests_of_tokens_leave_slots_to_others() -> None:
    taken = Slots()
    with ExitStack() as stack:
        for number in range(slots.MAX_GUESTS):
            stack.enter_context(taken.hold_guest(f"source {number // slots.MAX_GUESTS_PER_SOURCE}"))
        with pytest.raises(TooManyRequests, match="for tokens;"), taken.hold_guest("another source"):
            pass
        stack.enter_context(taken.hold("key", "acme"))
    with ExitStack() as stack:
        for _ in range(slots.MAX_GUESTS_PER_SOURCE):
            stack.enter_context(taken.hold_guest("source"))
        with pytest.raises(TooManyRequests, match="from this address"), taken.hold_guest("source"):
            pass
        stack.enter_context(taken.hold_guest("another source"))
