"""Log lines about connections, and about SIP messages that belong to no call."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.log_sampling import BurstLimit
from sipbridge.sip.pjsip_errors import put_in_words
from sipbridge.sip.thread import CallEvent

logger = logging.getLogger(__name__)


class ConnectionLog:
    """Logs the events of PJSIP that belong to no call, on the event loop.

    `trusts` returns true for an address of the trunk. Failed TLS handshakes of other addresses are not logged:
    they are frequent.
    """

    def __init__(self, trusts: Callable[[str], bool]) -> None:
        self._trusts = trusts
        self._limit = BurstLimit(logger)
        self._log_by_kind: dict[int, Callable[[CallEvent], None]] = {
            pj.EventTlsFailed: self._log_outbound_tls,
            pj.EventTlsRefused: self._log_inbound_tls,
            pj.EventConnectionClosed: self._log_closed,
            pj.EventUnreadable: self._log_unreadable,
            pj.EventStranger: self._log_stranger,
        }
        self.kinds = frozenset(self._log_by_kind)

    def log(self, event: CallEvent) -> None:
        """Log an event of one of `kinds`."""
        self._log_by_kind[event.kind](event)

    def _log_outbound_tls(self, event: CallEvent) -> None:
        host, _, cause = event.text.partition("\n")
        if self._limit.allows("tls_failed", host):
            fields = {"event": "tls_failed"}
            logger.warning(
                "TLS connection to %s, port %d, failed: %s", host, event.number, put_in_words(cause), extra=fields
            )

    def _log_inbound_tls(self, event: CallEvent) -> None:
        host, _, cause = event.text.partition("\n")
        if self._trusts(host) and self._limit.allows("tls_refused", host):
            fields = {"event": "tls_refused"}
            logger.info(
                "inbound TLS from %s, port %d, failed: %s", host, event.number, put_in_words(cause), extra=fields
            )

    def _log_closed(self, event: CallEvent) -> None:
        host, _, cause = event.text.partition("\n")
        if self._limit.allows("connection_closed", host):
            fields = {"event": "connection_closed"}
            logger.warning("connection from %s, port %d, closed: %s", host, event.number, cause, extra=fields)

    # The native layer limits the following two itself: it counts them for 10 s per event.

    def _log_unreadable(self, event: CallEvent) -> None:
        fields = {"event": "sip_unreadable", "count": event.number}
        logger.warning("unreadable SIP message from %s got no response", event.text, extra=fields)

    def _log_stranger(self, event: CallEvent) -> None:
        source, _, method = event.text.partition("\n")
        message = f"a {event.status} response to {method}" if event.status else method
        logger.warning(
            "ignored messages within dialogs, whose source may not speak for the far end",
            extra={"event": "dialog_stranger", "source": source, "sip_message": message, "count": event.number},
        )
