"""The HTTP client of the process, and the check of the addresses that it may connect to."""

from sipbridge.http.client import CONNECTIONS_PER_ORIGIN, Announcement, HttpClient
from sipbridge.http.connection import Response, read_lenient_json
from sipbridge.http.guard import check_encrypted, is_public
from sipbridge.http.tls import system_tls
from sipbridge.http.urls import Target, target_of

__all__ = [
    "CONNECTIONS_PER_ORIGIN",
    "Announcement",
    "HttpClient",
    "Response",
    "Target",
    "check_encrypted",
    "is_public",
    "read_lenient_json",
    "system_tls",
    "target_of",
]
