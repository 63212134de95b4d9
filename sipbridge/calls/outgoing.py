"""Outgoing calls: the targets of a SIP URI in turn (RFC 3263, 4.3), then those of a 3xx, until one answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from sipbridge.aio import interrupt_on
from sipbridge.calls.ports.sip import Dialler, Headers, Leg, ReferHandler
from sipbridge.errors import DialFailed
from sipbridge.handoffs.allowed_routes import route_allowed
from sipbridge.telephony.credentials import Credentials
from sipbridge.telephony.sip_status import SipStatus
from sipbridge.telephony.sip_uri import SipUri

# After this time without a response (three INVITEs over UDP) the next target is tried (RFC 3261, 17.1.1.2).
UNRESPONSIVE_SECONDS = 3.0

CHALLENGES = (
    SipStatus.UNAUTHORIZED,
    SipStatus.PROXY_AUTHENTICATION_REQUIRED,
)  # the peer wants credentials, or other credentials
# No response, a failed connection, or 503: the next target is tried (RFC 3263, 4.3).
_NEXT_TARGET = (SipStatus.REQUEST_TIMEOUT, SipStatus.SERVICE_UNAVAILABLE)

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callee:
    """A URI to call, and the time limit: `seconds` from the DNS lookup to the answer.

    `routes` are patterns of the URIs to which a 3xx may redirect. The credentials are for the host of `uri`. Messages
    of the dialog are accepted from the targets and from the networks in `sources`. `redirected_by` is the target whose
    3xx named the URI.
    """

    uri: str
    seconds: float
    routes: tuple[str, ...] = ()
    credentials: Credentials | None = None
    sources: tuple[str, ...] = ()
    redirected_by: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INVITE to send. `patience_seconds` limits the time to its first response; None means no limit of its own.

    Messages of the dialog are accepted from `sources`: targets, addresses and networks.
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
        """`async with attempt.responds_in_time(leg):` raises `DialFailed` in its body if the peer does not respond."""
        silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def give_up() -> None:
            if not leg.responded.done():
                silent.set_result(None)

        timer = None
        if self.patience_seconds is not None:
            timer = asyncio.get_running_loop().call_later(self.patience_seconds, give_up)
        try:
            async with interrupt_on(silent, DialFailed(SipStatus.REQUEST_TIMEOUT, "no response")):
                yield
        finally:
            if timer is not None:
                timer.cancel()


async def call_out(dialler: Dialler, callee: Callee, attempt: Callable[[Attempt], Awaitable[T]]) -> T:
    """Try the targets until one answers; follow a 3xx once. Raises `DialFailed`, or what `attempt` raises.

    An `attempt` that raises must leave no leg.
    """
    try:
        async with asyncio.timeout(callee.seconds) as limit:
            try:
                return await _in_turn(dialler, callee, limit, attempt)
            except DialFailed as error:
                uri, target = redirected(callee, error.contacts), error.target
                if uri is None:
                    raise
            credentials = callee.credentials if SipUri.parse(uri).has_same_host(SipUri.parse(callee.uri)) else None
            other = replace(callee, uri=uri, credentials=credentials, redirected_by=target)
            return await _in_turn(dialler, other, limit, attempt)
    except TimeoutError:
        raise DialFailed(SipStatus.REQUEST_TIMEOUT, "not answered in time") from None
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
    targets = await dialler.locate(callee.uri, callee.redirected_by)
    sources = (*targets, *callee.sources)
    for left, target in zip(range(len(targets) - 1, 0, -1), targets, strict=False):
        seconds = ((limit.when() or 0.0) - asyncio.get_running_loop().time()) / (left + 1)
        try:
            patience = min(seconds, UNRESPONSIVE_SECONDS)
            return await attempt(Attempt(dialler, callee.uri, target, callee.credentials, patience, sources))
        except DialFailed as error:
            if error.sip_status not in _NEXT_TARGET:
                raise
            logger.info("no answer from a target (%s), trying the next", error, extra={"event": "next_target"})
    return await attempt(Attempt(dialler, callee.uri, targets[-1], callee.credentials, None, sources))


def redirected(callee: Callee, contacts: Iterable[str]) -> str | None:
    """Return the URI of the first Contact of a 3xx that may be called; None if there is none (RFC 3261, 8.1.3.4).

    It must match `routes`. SRTP is used as for the called URI; so is the transport if the Contact names none. A call
    over TLS stays on TLS, because the INVITE carries the SRTP keys.
    """
    called, srtp = SipUri.parse(callee.uri).split_srtp()
    transport = called.transport
    for contact in contacts:
        try:
            parsed = SipUri.parse(contact)
            parsed.check_port()
            uri = parsed.split_srtp()[0].with_transport(transport)
        except ValueError:
            continue
        if not uri.is_sip or not route_allowed(str(uri), callee.routes):
            continue
        if uri == called or (transport == "tls" and uri.transport != "tls"):
            continue
        if called.is_sips and not uri.is_sips:
            continue
        return str(uri.with_srtp(srtp))
    return None


def _challenged(callee: Callee) -> str:
    if callee.credentials is None:
        return "credentials are required; set username and password"
    return "the credentials were refused; check username and password"
