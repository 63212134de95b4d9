"""What the log says of connections and of SIP messages that belong to no call."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.log_sampling import BurstLimit
from sipbridge.sip.pjsip_errors import put_in_words

logger = logging.getLogger(__name__)


class ConnectionLog:
    """Writes the events of PJSIP that concern no call. Called on the event loop.

    `trusts` says if an address is one of the trunk's: of the others' TLS handshakes, which fail all day, nothing is
    written.
    """

    def __init__(self, trusts: Callable[[str], bool]) -> None:
        self._trusts = trusts
        self._limit = BurstLimit(logger)
        self._write = {
            pj.EventTlsFailed: self._tls_failed,
            pj.EventTlsRefused: self._tls_refused,
            pj.EventConnectionClosed: self._closed,
            pj.EventUnreadable: self._unreadable,
            pj.EventStranger: self._stranger,
        }
        self.kinds = frozenset(self._write)

    def note(self, kind: int, number: int, status: int, text: str) -> None:
        """Write an event of one of `kinds`, with the fields that the native layer gave it."""
        self._write[kind](number, status, text)

    def _tls_failed(self, port: int, _status: int, text: str) -> None:
        host, _, why = text.partition("\n")
        if self._limit.allows("tls_failed"):
            fields = {"event": "tls_failed"}
            logger.warning("no TLS with %s, port %d: %s", host, port, put_in_words(why), extra=fields)

    def _tls_refused(self, port: int, _status: int, text: str) -> None:
        host, _, why = text.partition("\n")
        if self._trusts(host) and self._limit.allows("tls_refused"):
            fields = {"event": "tls_refused"}
            logger.info("inbound TLS from %s, port %d, failed: %s", host, port, put_in_words(why), extra=fields)

    def _closed(self, port: int, _status: int, text: str) -> None:
        host, _, why = text.partition("\n")
        if self._limit.allows("connection_closed"):
            fields = {"event": "connection_closed"}
            logger.warning("connection of %s, port %d, closed: %s", host, port, why, extra=fields)

    # The native layer limits the two below itself: it sums up what came in 10 s.

    def _unreadable(self, count: int, _status: int, source: str) -> None:
        fields = {"event": "sip_unreadable", "count": count}
        logger.warning("no response to a SIP message that could not be read, of %s", source, extra=fields)

    def _stranger(self, count: int, status: int, text: str) -> None:
        source, _, method = text.partition("\n")
        what = f"a {status} response to {method}" if status else method
        logger.warning(
            "messages in dialogs from a source that may not speak for the far end were not taken",
            extra={"event": "dialog_stranger", "source": source, "sip_message": what, "count": count},
        )
