"""One attempt to deliver an event: a signed POST, and the meaning of its response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sipbridge.config import is_loopback
from sipbridge.dns import Resolver
from sipbridge.errors import HttpError
from sipbridge.http import HttpClient, Response, check_encrypted, is_public, target_of
from sipbridge.trace_context import TRACEPARENT, X_TRACEPARENT, TraceContext
from sipbridge.webhooks.model import DeliveryResult, Event, Webhook
from sipbridge.webhooks.signature import sign

_RETRIED_STATUS = (408, 429)
_CONNECTIONS = 100_000
_MAX_RETRY_AFTER_SECONDS = 3600.0  # a longer one would keep a platform that is well again without its events


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt: delivered, refused or to be retried. `responded` is False if there was no response.

    `retry_after` is the pause that the response asks for, in seconds. `detail` is for the log.
    """

    result: DeliveryResult
    detail: str
    responded: bool = True
    retry_after: float = 0.0


class Poster:
    """Posts events. A URL for this machine or with `allow_private_addresses` may lead to any address.

    `may_send` is asked right before each request.
    """

    def __init__(
        self, resolver: Resolver, now: Callable[[], datetime], may_send: Callable[[], bool] | None = None
    ) -> None:
        self._now = now
        # Many projects may have webhooks at one host; their lanes limit the connections.
        self._guarded, self._unguarded = (
            HttpClient(
                resolver,
                allows=allows,
                spares_descriptors=True,
                connections_per_origin=_CONNECTIONS,
                may_send=may_send,
            )
            for allows in (is_public, None)
        )

    async def post(self, webhook: Webhook, event: Event, uid: str, seconds: float) -> Attempt:
        """Post an event of the chat or call `uid` within that time. The head of the response is enough."""
        body = event.to_json().encode()
        timestamp = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "X-Sipbridge-Timestamp": timestamp,
            "X-Sipbridge-Delivery": event.id,
            "X-Sipbridge-Signature": sign(webhook.secret, timestamp, body),
        }
        if webhook.traced:
            # Proxies on the way replace the first with a span of their own, and pass the second on as it is.
            traceparent = TraceContext.of(uid).traceparent
            headers |= {TRACEPARENT: traceparent, X_TRACEPARENT: traceparent}
        try:
            # The operator may write the address of this machine; a host name that resolves to it is another matter.
            may_be_private = _is_for_this_machine(webhook.url) or webhook.allow_private_addresses
            http = self._unguarded if may_be_private else self._guarded
            response = await http.post_for_head(webhook.url, "", headers, body, seconds)
        except HttpError as error:
            return Attempt(DeliveryResult.RETRIED, str(error), responded=False)
        return _classify(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._guarded.close()
        await self._unguarded.close()


@lru_cache(maxsize=1024)
def _is_for_this_machine(url: str) -> bool:
    """True if the host of a URL is this machine. Raises `HttpForbidden` if the URL is not safe."""
    check_encrypted(url)
    return is_loopback(target_of(url).host)


def _classify(response: Response) -> Attempt:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 (the classes of RFC 9110, section 15)
        return Attempt(DeliveryResult.DELIVERED, str(status))
    if status in _RETRIED_STATUS or status >= 500:  # noqa: PLR2004 (as above)
        retry_after = min(response.retry_after or 0.0, _MAX_RETRY_AFTER_SECONDS)
        return Attempt(DeliveryResult.RETRIED, f"status {status}", retry_after=retry_after)
    return Attempt(DeliveryResult.REFUSED, f"status {status}")
