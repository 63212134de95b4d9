"""Calling a SIP URI: its targets in turn (RFC 3263, 4.3), then where a 3xx points, until one answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from sipbridge.aio import interrupt_on
from sipbridge.calls.ports import Dialler, Headers, Leg, ReferHandler
from sipbridge.config import (
    same_host,
    sip_transport,
    split_srtp,
    with_srtp,
    with_transport,
)
from sipbridge.errors import DialFailed
from sipbridge.handoffs.allowed_routes import route_allowed
from sipbridge.telephony.credentials import Credentials

# A target that has not responded by then, three INVITEs by UDP, is given up if there is another (RFC 3261, 17.1.1.2).
UNRESPONSIVE_SECONDS = 3.0

_REQUEST_TIMEOUT = 408
CHALLENGES = (401, 407)  # a far end that wants credentials, or others
# The request may go to the next target: no response, a connection that failed, or this response (RFC 3263, 4.3).
_NEXT_TARGET = (_REQUEST_TIMEOUT, 503)

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callee:
    """Whom to call, and within what time: `seconds` from the lookup of the name to the answer.

    `routes` are patterns of the URIs to which a 3xx may point. The credentials are for the host of `uri`. Besides the
    addresses of whom we call, the networks in `sources` may speak for the far end.
    """

    uri: str
    seconds: float
    routes: tuple[str, ...] = ()
    credentials: Credentials | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INVITE to make: `patience_seconds` is how long a response of any kind may take, None as long as there is.

    `sources` may speak for the far end: targets, addresses and networks.
    """

    dialler: Dialler
    uri: str
    target: str
    credentials: Credentials | None
    patience_seconds: float | None
    sources: tuple[str, ...] = ()

    async def dial(self, headers: Headers, caller: str, refer_handler: ReferHandler | None = None) -> Leg:
        """Send the INVITE. Raises `DialFailed`."""
        return await self.dialler.dial(
            self.uri,
            self.target,
            headers,
            caller,
            sources=self.sources,
            credentials=self.credentials,
            refer_handler=refer_handler,
        )

    @asynccontextmanager
    async def responds_in_time(self, leg: Leg) -> AsyncIterator[None]:
        """`async with attempt.responds_in_time(leg):` what `DialFailed` cuts short if the far end does not respond."""
        silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def give_up() -> None:
            if not leg.responded.done():
                silent.set_result(None)

        timer = None
        if self.patience_seconds is not None:
            timer = asyncio.get_running_loop().call_later(self.patience_seconds, give_up)
        try:
            async with interrupt_on(silent, DialFailed(_REQUEST_TIMEOUT, "no response")):
                yield
        finally:
            if timer is not None:
                timer.cancel()


async def call_out(dialler: Dialler, callee: Callee, attempt: Callable[[Attempt], Awaitable[T]]) -> T:
    """Attempt the targets until one answers; a 3xx is followed once. Raises `DialFailed`, or what `attempt` does.

    An attempt that raises has left no leg behind.
    """
    try:
        async with asyncio.timeout(callee.seconds) as limit:
            try:
                return await _in_turn(dialler, callee, limit, attempt)
            except DialFailed as error:
                uri = redirected(callee, error.contacts)
                if uri is None:
                    raise
            credentials = callee.credentials if same_host(uri, callee.uri) else None
            return await _in_turn(dialler, replace(callee, uri=uri, credentials=credentials), limit, attempt)
    except TimeoutError:
        raise DialFailed(_REQUEST_TIMEOUT, "not answered in time") from None
    except DialFailed as error:
        if error.sip_status in CHALLENGES:
            raise DialFailed(error.sip_status, _challenged(callee)) from None
        raise


async def _in_turn(
    dialler: Dialler,
    callee: Callee,
    limit: asyncio.Timeout,
    attempt: Callable[[Attempt], Awaitable[T]],
) -> T:
    targets = await dialler.locate(callee.uri)
    sources = (*targets, *callee.sources)
    for left, target in zip(range(len(targets) - 1, 0, -1), targets, strict=False):
        seconds = ((limit.when() or 0.0) - asyncio.get_running_loop().time()) / (left + 1)
        try:
            patience = min(seconds, UNRESPONSIVE_SECONDS)
            return await attempt(Attempt(dialler, callee.uri, target, callee.credentials, patience, sources))
        except DialFailed as error:
            if error.sip_status not in _NEXT_TARGET:
                raise
            logger.info("no answer at a target (%s): the next is tried", error, extra={"event": "next_target"})
    return await attempt(Attempt(dialler, callee.uri, targets[-1], callee.credentials, None, sources))


def redirected(callee: Callee, contacts: Iterable[str]) -> str | None:
    """The first Contact of a 3xx that may be called, as we call it; None where there is none (RFC 3261, 8.1.3.4).

    It must match `routes`. The use of SRTP is the called URI's, and so is the transport if the Contact names none. What
    began over TLS stays there: the keys of SRTP go along with the INVITE.
    """
    called, srtp = split_srtp(callee.uri)
    transport = sip_transport(called)
    for contact in contacts:
        try:
            uri = with_transport(split_srtp(contact)[0], transport)
        except ValueError:
            continue
        if not uri.lower().startswith(("sip:", "sips:")) or not route_allowed(uri, callee.routes):
            continue
        if uri == called or (transport == "tls" and sip_transport(uri) != "tls"):
            continue
        if called.startswith("sips:") and not uri.lower().startswith("sips:"):
            continue
        return with_srtp(uri, srtp)
    return None


def _challenged(callee: Callee) -> str:
    if callee.credentials is None:
        return "it wants credentials; set username and password"
    return "it refuses the credentials; check username and password"
