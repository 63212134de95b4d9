"""Checks of the URLs that CXone names: our credentials are sent to them."""

from __future__ import annotations

from sipbridge.config import is_loopback
from sipbridge.errors import CxoneError
from sipbridge.http.urls import target_of

# The domains of CXone. Endpoints may be in another domain than their issuer: https://api-c57.nice-incontact.com for
# https://cxone.niceincontact.com.
_NICE_DOMAINS = ("niceincontact.com", "nice-incontact.com", "nicecxone.com", "nicecxone-gov.com")


def usable_url(url: object, what: str, *, issuer: str) -> str:
    """Check a configured or discovered URL and return it without its last slash. Raises `CxoneError`.

    It must be https. Plain http is allowed for loopback, and if the issuer itself is plain http.
    """
    try:
        target = target_of(url if isinstance(url, str) else "")
    except ValueError:
        raise CxoneError(f"{what} is not a valid http(s) URL") from None
    if "?" in target.path:
        raise CxoneError(f"{what} has a query; a path must be appended to it")
    if not target.tls and not issuer.startswith("http://") and not is_loopback(target.host):
        raise CxoneError(f"{what} is plain http, but the issuer is https; secrets are not sent unencrypted")
    return str(url).rstrip("/")


def url_of_cxone(url: object, what: str, *, issuer: str, instead: str) -> str:
    """Check a URL that CXone named, as `usable_url` does, and that its host belongs to CXone. Raises `CxoneError`.

    The host must be the issuer's, a subdomain of it, or in a domain of NICE's. Our access key, our token and what
    callers said are sent there, so a forged response must not redirect them. `instead` says what to do if the URL is
    correct all the same.
    """
    usable = usable_url(url, what, issuer=issuer)
    host, trusted = target_of(usable).host, (target_of(issuer).host, *_NICE_DOMAINS)
    if not any(host == domain or host.endswith(f".{domain}") for domain in trusted):
        raise CxoneError(f"{what} names {host}, which is neither the issuer's nor NICE's; {instead}")
    return usable
