"""How CXone is spoken to over HTTP: one session for all clients, answers read only as far as they are of use."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from sipbridge import __version__
from sipbridge.errors import CxoneError

MAX_BODY_BYTES = 64 * 1024
_DRAIN_SECONDS = 0.25
_CONNECTIONS_PER_HOST = 500  # 400 Signals a second at CXone's slowest usual second each, and some


def open_session() -> aiohttp.ClientSession:
    """Make the session that all clients share; whoever calls closes it. Needs a running loop.

    HTTP/1.1 only (CXone's `/auth/token` has failed over HTTP/2), certificates checked, no cookies, so that nothing
    passes from one tenant to another. An idle connection is given up after 15 s, before usual load balancers do (60 s):
    a Signal sent into a connection that is being closed could not be sent again. Uncompressed, so that no small answer
    grows large.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, limit_per_host=_CONNECTIONS_PER_HOST, keepalive_timeout=15, ttl_dns_cache=60
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            # Without it CXone's answer can be "No known way to render data".
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"sipbridge/{__version__}",
        },
    )


def time_limits(seconds: float) -> aiohttp.ClientTimeout:
    """Limit a request to so many seconds in all, and to half of them without a connection.

    As the second always runs out first, `aiohttp.ConnectionTimeoutError` means that nothing was sent, and any other
    time-out that the request may have arrived. If the loop stalls past both, aiohttp reports the latter: the safe one.
    """
    return aiohttp.ClientTimeout(total=seconds, connect=seconds / 2)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, the start of its body, and how long it asks to wait (seconds)."""

    status: int
    body: bytes
    retry_after: float | None

    def json_object(self, source: str) -> dict[str, Any]:
        """The body as a JSON object. Raises `CxoneError` that names the source."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise CxoneError(f"{source} answered something else than a JSON object")
        return value


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    limits: aiohttp.ClientTimeout,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request and read its answer, up to 64 KB. Follows no redirect. Raises `CxoneError` where none comes."""
    host = urlsplit(url).hostname
    try:
        async with session.request(
            method, url, data=form, headers=headers, timeout=limits, allow_redirects=False
        ) as response:
            body = b""
            while len(body) <= MAX_BODY_BYTES and (chunk := await response.content.read(MAX_BODY_BYTES)):
                body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise CxoneError(f"{host} answered over {MAX_BODY_BYTES} bytes")
            return Answer(response.status, body, retry_after_seconds(response.headers.get("Retry-After")))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CxoneError(f"{host} gave no answer ({type(error).__name__})") from error


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read the rest of an answer that nobody needs, so that its connection can be used again; never raises.

    Where that would take over 64 KB or a quarter second it is left, and the connection closed instead.
    """
    if response.content.is_eof():
        return
    read = 0
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while read < MAX_BODY_BYTES and (chunk := await response.content.read(MAX_BODY_BYTES)):
                read += len(chunk)


def retry_after_seconds(value: str | None) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). None where it says nothing usable."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": UTC that does not say so (RFC 5322, section 3.3)
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def usable_url(url: object, what: str, *, issuer: str) -> str:
    """Check a URL that CXone named, without its last slash: https, or http where no secret meets a stranger.

    Plain http is for loopback, and for an issuer that is plain http itself. Raises `CxoneError`.
    """
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # brackets or a port that are none
        usable = False
    if not usable:
        raise CxoneError(f"{what} is no http(s) URL")
    if parts.scheme == "http" and not issuer.startswith("http://") and not _is_loopback(parts.hostname or ""):
        raise CxoneError(f"{what} is plain http, and the issuer is not: secrets are not sent in the clear")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
