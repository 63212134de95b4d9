"""Errors of the HTTP API that `sipbridge.errors` does not have. Each docstring is a description in OpenAPI."""

from __future__ import annotations

from sipbridge.errors import RequestRefused


class InvalidLink(RequestRefused):
    """The pop link has expired or is not valid."""

    http_status = 403
    code = "invalid_link"


class ExpiredLink(InvalidLink):
    """The pop link has expired."""


class AdminNotLocal(RequestRefused):
    """The request came from another machine, and `http.admin.listen` is null."""

    http_status = 403
    code = "admin_not_local"


class BodyNotJson(RequestRefused):
    """The body is not JSON."""

    http_status = 400
    code = "invalid_json"


class BodyTooSlow(RequestRefused):
    """The body took too long to arrive."""

    http_status = 408
    code = "request_timeout"


class CallInProgress(RequestRefused):
    """The call is in progress, and its record would be written again."""

    http_status = 409
    code = "conflict"


class BodyTooLarge(RequestRefused):
    """The body is larger than the limit."""

    http_status = 413
    code = "too_large"


class UnsupportedEncoding(RequestRefused):
    """The body is compressed."""

    http_status = 415
    code = "unsupported_encoding"


class BodyInvalid(RequestRefused):
    """The body does not match the schema. The message names each wrong field and what it must be."""

    http_status = 422
    code = "invalid_request"


class BoxTokenInvalid(RequestRefused):
    """The token of the box is missing, of another box or expired, or the credentials are not those of the box."""

    http_status = 401
    code = "invalid_token"


class BoxNotReady(RequestRefused):
    """The message was not taken, and may be sent again: chats are being recovered, or the store is slow."""

    http_status = 503
    code = "unavailable"
    retry_after_seconds = 1


class ReloadRefused(RequestRefused):
    """The configuration is not valid. The message lists all its errors."""

    http_status = 422
    code = "invalid_configuration"


class TooManyRequests(RequestRefused):
    """Too many requests with this key, per second or at once, or too many wrong keys or tokens from one address."""

    http_status = 429
    code = "rate_limited"
    retry_after_seconds = 1


class OwnerUnavailable(RequestRefused):
    """Another bridge carries the call or chat and does not respond. Its record shows what becomes of it."""

    http_status = 503
    code = "unavailable"
    retry_after_seconds = 5


class NotReady(RequestRefused):
    """No new call can be taken. The message says why."""

    http_status = 503
    code = "unavailable"
