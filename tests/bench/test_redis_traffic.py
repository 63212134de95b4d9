from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.bench.redis_traffic import Pattern, Reader, Recording, encode, recorded
from tests.harness.programs.redis import RedisServer, redis_server

REQUESTS = [(b"PING",), (b"SET", b"key", b"two\r\nlines"), (b"GET", b"")]
STREAM = b"".join(map(encode, REQUESTS))


@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
def test_requests_are_read_from_pieces_of_any_size(size: int) -> None:
    reader = Reader()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [request for piece in pieces for request in reader.feed(piece)] == REQUESTS


def test_an_encoded_request_is_what_redis_reads() -> None:
    assert encode((b"GET", b"key")) == b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"


def test_a_pattern_has_its_variables_replaced_wherever_they_occur() -> None:
    pattern = Pattern(((b"HSET", b"open:E1", b"call-1", b'{"call":"call-1"}'),), (b"call-1", b"E1"))
    assert pattern.fill({b"call-1": b"another", b"E1": b"E2"}) == [
        (b"HSET", b"open:E2", b"another", b'{"call":"another"}')
    ]
    assert pattern.size == len(encode(pattern.requests[0]))


def test_the_requests_about_a_call_include_what_lies_between_if_it_is_named() -> None:
    before, first, between, other, last = (
        (b"EXPIRE", b"open"),
        (b"HSET", b"open", b"call-1"),
        (b"EXPIRE", b"open"),
        (b"PING",),
        (b"HDEL", b"open", b"call-1"),
    )
    recording = Recording([before, first, between, other, last, before])
    assert recording.about(b"call-1", b"open") == (first, between, last)
    assert recording.about(b"call-1") == (first, last)
    assert recording.about(b"call-2", b"open") == ()


def test_what_passes_is_recorded_and_not_changed(redis_for_recording: RedisServer) -> None:
    with recorded(redis_for_recording.port) as (port, recording):
        with redis.Redis(port=port, decode_responses=True) as client:
            client.set("key", "value\r\n" * 20_000)
            assert client.get("key") == "value\r\n" * 20_000
        assert [request[:2] for request in recording.about(b"key")] == [(b"SET", b"key"), (b"GET", b"key")]


@pytest.fixture
def redis_for_recording(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server
