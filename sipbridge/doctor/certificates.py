"""The checks of certificates: that of `sip.tls`, and that of the proxy in front of the HTTP API."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

from sipbridge.config import RENEWAL, Config, TlsConfig, expires_at, is_address, is_loopback, own_client, seen_by
from sipbridge.connection_errors import explain_connection_error
from sipbridge.dns import Resolver
from sipbridge.errors import NameNotResolved

from .finding import Finding, fault, ok, warning

_CONNECT_SECONDS = 5.0
_OWN = "sip.tls.certificate_file"


async def check_certificates(config: Config, resolver: Resolver) -> AsyncIterator[Finding]:
    """Check the validity, the name and the chain of the certificates that others see."""
    if config.sip.tls.certificate_file is not None:
        yield _own_certificate(config)
    parts = urlsplit(config.http.public_url)
    if parts.scheme == "https" and not is_loopback(parts.hostname or ""):
        yield await _public_certificate(config.http.public_url, parts.hostname or "", parts.port or 443, resolver)


def _own_certificate(config: Config) -> Finding:
    """Check our certificate as a trunk with the authorities of the system, or of `ca_file`, sees it."""
    tls = config.sip.tls
    try:
        seen = seen_by(tls, own_client(tls))
    except (OSError, ValueError) as error:
        return fault(_OWN, f"cannot be used: {error}; give another")
    name, names = config.sip.public_address, _names(seen)
    # A trunk may know a bridge by a name, although its address is in SDP.
    if name is not None and not is_address(name) and not any(covers(each, name) for each in names):
        return warning(
            _OWN, f"is for {', '.join(names) or 'no name'}, not for sip.public_address, {name}; give another"
        )
    try:
        seen_by(tls, _authorities(tls))
    except ssl.SSLCertVerificationError as error:
        return warning(
            _OWN,
            f"is not trusted here: {error.verify_message}; add the intermediates to the file, "
            "or make sure that the trunk trusts its authority",
        )
    left = expires_at(seen) - datetime.now(UTC)
    return ok(_OWN, f"for {', '.join(names)}, valid for {left.days} days, its chain is complete")


def _authorities(tls: TlsConfig) -> ssl.SSLContext:
    """Return the context of a client with the authorities of `ca_file`, or of the system."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = False
    return context


async def _public_certificate(url: str, host: str, port: int, resolver: Resolver) -> Finding:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connected = await resolver.connect(host, port)
            context = ssl.create_default_context()
            _, writer = await asyncio.open_connection(sock=connected, ssl=context, server_hostname=host)
    except NameNotResolved:
        return fault(url, "http.public_url has no address in DNS, so no desktop finds it; add it")
    except ssl.SSLError as error:
        return fault(url, f"desktops refuse the proxy: {explain_connection_error(error)}; give it another certificate")
    except OSError as error:
        return warning(
            url,
            f"is not reached from here: {explain_connection_error(error)}; check the proxy, "
            "and that a desktop opens this address",
        )
    seen = cast("Mapping[str, object]", writer.get_extra_info("peercert"))
    writer.close()
    left = expires_at(seen) - datetime.now(UTC)
    if left < RENEWAL:
        return warning(url, f"the certificate expires on {expires_at(seen):%Y-%m-%d}; renew it")
    return ok(url, f"reached, and its certificate is valid for {left.days} days")


def _names(certificate: Mapping[str, object]) -> list[str]:
    """Return the names and addresses that a certificate is for."""
    alternatives = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
    return [value for kind, value in alternatives if kind in ("DNS", "IP Address")]


def covers(pattern: str, name: str) -> bool:
    """True if a name in a certificate covers a host: a star stands for one label (RFC 9525, 6.3)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    return pattern == name or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])
