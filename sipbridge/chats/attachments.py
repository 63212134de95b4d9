"""The attachments of a bot: the bridge fetches them, since CXone takes content and no foreign links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sipbridge.chats.model import Attachment
from sipbridge.dns import Resolver
from sipbridge.errors import AttachmentError, HttpError, HttpForbidden, ResponseTooLarge
from sipbridge.http import HttpClient, check_encrypted, is_public, target_of

MAX_BYTES = 5 * 1024 * 1024
FETCH_SECONDS = 10.0
_AT_ONCE = 16  # in memory, with their 5 MB each
_AUTHOR = "attachments"
_DEFAULT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class AttachmentRules:
    """The hosts of a project that attachments may be fetched from."""

    allows_host: Callable[[str], bool]
    allow_private_addresses: bool = False


@dataclass(frozen=True, slots=True)
class AttachmentContent:
    """The content of an attachment, and its media type without parameters."""

    content: bytes = field(repr=False)
    media_type: str


CheckAttachment = Callable[[Attachment], object]
"""Raises `AttachmentError` for an attachment of the bot whose link CXone must not get."""


def check_allowed(attachment: Attachment, rules: AttachmentRules) -> str:
    """Return the host of an attachment. Raises `AttachmentError` unless it may be fetched from there."""
    try:
        check_encrypted(attachment.url)
    except HttpForbidden as error:
        raise AttachmentError("attachment_forbidden", str(error)) from error
    host = target_of(attachment.url).host
    if not rules.allows_host(host):
        raise AttachmentError("attachment_forbidden", f"attachments of {host} are not in attachment_hosts")
    return host


class AttachmentFetcher:
    """Fetches attachments. A bot writes their URLs, so only allowed hosts and public addresses are asked.

    No redirect is followed: it would lead to another host. The network of the bridge is reached only if the project
    allows private addresses, loopback included.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._guarded = HttpClient(resolver, allows=is_public, author=_AUTHOR, spares_descriptors=True)
        self._unguarded = HttpClient(resolver, author=_AUTHOR, spares_descriptors=True)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, attachment: Attachment, rules: AttachmentRules) -> AttachmentContent:
        """Fetch an attachment of at most 5 MB within 10 s. Raises `AttachmentError`.

        The media type is the one that the server names, else the one that the bot named.
        """
        http = self._unguarded if rules.allow_private_addresses else self._guarded
        try:
            host = check_allowed(attachment, rules)
            async with self._slots:
                response = await http.request(
                    "GET", attachment.url, headers={"Accept": "*/*"}, seconds=FETCH_SECONDS, max_bytes=MAX_BYTES
                )
        except HttpForbidden as error:
            raise AttachmentError("attachment_forbidden", str(error)) from error
        except ResponseTooLarge as error:
            raise AttachmentError("attachment_too_large", str(error)) from error
        except HttpError as error:
            raise AttachmentError("attachment_unavailable", str(error)) from error
        if response.status != 200:  # noqa: PLR2004 (200 OK)
            raise AttachmentError("attachment_unavailable", f"{host} responded with {response.status}")
        if not response.body:
            raise AttachmentError("attachment_unavailable", f"{host} responded without content")
        named = response.headers.get(b"content-type", "").partition(";")[0].strip().lower()
        return AttachmentContent(response.body, named or attachment.media_type or _DEFAULT_TYPE)

    async def close(self) -> None:
        """Close all connections, with the requests in progress."""
        await self._guarded.close()
        await self._unguarded.close()
