"""Session refreshes of the bridge that fail (RFC 4028). A session lasts at least 90 s: the tests share one wait."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.harness.sip.raw_call import OFFER

from .contact_call import CALLER, ContactCall
from .site import Site

OURS = b"Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n"
UPDATES = b"Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n"
DONE = b"Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n"
REFRESH_SECONDS = 60


@contextmanager
def session(trunk: Site, *lines: bytes) -> Iterator[ContactCall]:
    with ContactCall(trunk, "lasting", CALLER, OURS, *lines) as call:
        call.place()
        assert b"Session-Expires: 90;refresher=uas" in call.answer
        call.set_timeout(REFRESH_SECONDS)
        yield call
        call.end()


def next_refresh(call: ContactCall) -> tuple[bytes, float]:
    request = call.next_request(b"UPDATE", b"INVITE")
    return request, time.monotonic()


def accept(call: ContactCall, refresh: bytes) -> None:
    call.respond(refresh, b"200 OK", DONE, OFFER if b"m=audio" in refresh else b"")
    if refresh.startswith(b"INVITE"):
        call.next_request(b"ACK")


def rejected_with_491(trunk: Site, *lines: bytes) -> None:
    """491 three times, each after the pause of RFC 3261, 14.1 for the side that did not place the call: 0 to 2 s."""
    with session(trunk, *lines) as call:
        refresh, before = next_refresh(call)
        form = refresh.split()[0]
        for _ in range(3):
            call.respond(refresh, b"491 Request Pending")
            refresh, now = next_refresh(call)
            assert refresh.split()[0] == form
            assert now - before < 3
            before = now
        accept(call, refresh)
        assert call.request(b"OPTIONS").startswith(b"SIP/2.0 200 ")


def rejected_with_retry_after(trunk: Site, answer: bytes) -> None:
    with session(trunk, UPDATES) as call:
        refresh, before = next_refresh(call)
        call.respond(refresh, answer, b"Retry-After: 2\r\n")
        refresh, now = next_refresh(call)
        assert 1.8 < now - before < 4
        accept(call, refresh)


def rejected_as_unsupported(trunk: Site, answer: bytes, *forms: bytes) -> None:
    with session(trunk, UPDATES) as call:
        refresh, _ = next_refresh(call)
        seen = []
        for _ in forms:
            call.respond(refresh, answer)
            refresh, _ = next_refresh(call)
            seen.append(refresh.split()[0] + (b" with an offer" if b"m=audio" in refresh else b""))
        assert tuple(seen) == forms
        accept(call, refresh)
        assert call.request(b"OPTIONS").startswith(b"SIP/2.0 200 ")


def rejected_with_422(trunk: Site) -> None:
    with session(trunk, UPDATES) as call:
        refresh, _ = next_refresh(call)
        call.respond(refresh, b"422 Session Interval Too Small", b"Min-SE: 120\r\n")
        refresh, _ = next_refresh(call)
        assert re.search(rb"^Session-Expires: 120", refresh, re.MULTILINE)
        accept(call, refresh)


def rejected_with_481(trunk: Site) -> None:
    with session(trunk, UPDATES) as call:
        refresh, _ = next_refresh(call)
        call.respond(refresh, b"481 Call/Transaction Does Not Exist")
        call.answer_bye()


@pytest.mark.timeout(150)
def test_a_failed_refresh_is_retried_as_its_response_demands(trunk: Site) -> None:
    update, offer = b"UPDATE with an offer", b"INVITE with an offer"
    with ThreadPoolExecutor(16) as threads:
        waits = [
            threads.submit(rejected_with_491, trunk, UPDATES),
            threads.submit(rejected_with_491, trunk),
            threads.submit(rejected_with_retry_after, trunk, b"503 Service Unavailable"),
            threads.submit(rejected_with_retry_after, trunk, b"500 Server Internal Error"),
            threads.submit(rejected_as_unsupported, trunk, b"405 Method Not Allowed", offer),
            threads.submit(rejected_as_unsupported, trunk, b"488 Not Acceptable Here", update, offer),
            threads.submit(rejected_with_422, trunk),
            threads.submit(rejected_with_481, trunk),
        ]
        for wait in waits:
            wait.result()
