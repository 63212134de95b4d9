"""SIP status codes (RFC 3261, 21; RFC 3515, 2.4.2; RFC 6026; IANA's registry), with their reason phrases."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class SipStatus(IntEnum):
    """The statuses that the bridge sends or acts on. Any other number is a status too."""

    phrase: str

    def __new__(cls, code: int, phrase: str) -> Self:
        """Make a member with its reason phrase."""
        status = int.__new__(cls, code)
        status._value_ = code
        status.phrase = phrase
        return status

    OK = 200, "OK"
    ACCEPTED = 202, "Accepted"
    BAD_REQUEST = 400, "Bad Request"
    UNAUTHORIZED = 401, "Unauthorized"
    FORBIDDEN = 403, "Forbidden"
    NOT_ACCEPTABLE = 406, "Not Acceptable"
    PROXY_AUTHENTICATION_REQUIRED = 407, "Proxy Authentication Required"
    REQUEST_TIMEOUT = 408, "Request Timeout"
    UNSUPPORTED_MEDIA_TYPE = 415, "Unsupported Media Type"
    BAD_EXTENSION = 420, "Bad Extension"
    TEMPORARILY_UNAVAILABLE = 480, "Temporarily Unavailable"
    REQUEST_TERMINATED = 487, "Request Terminated"
    NOT_ACCEPTABLE_HERE = 488, "Not Acceptable Here"
    REQUEST_PENDING = 491, "Request Pending"
    SERVER_INTERNAL_ERROR = 500, "Server Internal Error"
    BAD_GATEWAY = 502, "Bad Gateway"
    SERVICE_UNAVAILABLE = 503, "Service Unavailable"


def is_success(status: int) -> bool:
    """Return True for a 2xx."""
    return status // 100 == 2  # noqa: PLR2004 (the class of the status)


def is_redirection(status: int) -> bool:
    """Return True for a 3xx: the request may be sent to other URIs."""
    return status // 100 == 3  # noqa: PLR2004 (the class of the status)
