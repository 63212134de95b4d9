"""Refusals that only HTTP knows, beside those of `sipbridge.errors`."""

from __future__ import annotations

from sipbridge.errors import RequestRefused


class InvalidLink(RequestRefused):
    """A pop link that has expired, or that we did not make."""

    http_status = 403
    code = "invalid_link"


class AdminNotLocal(RequestRefused):
    """From another machine than the bridge's, and `http.admin.listen` is null."""

    http_status = 403
    code = "admin_not_local"


class BodyNotJson(RequestRefused):
    """A body that is not JSON."""

    http_status = 400
    code = "invalid_json"


class BodyTooSlow(RequestRefused):
    """A body that took too long to come."""

    http_status = 408
    code = "request_timeout"


class CallInProgress(RequestRefused):
    """The call is still up: its record would be written again."""

    http_status = 409
    code = "conflict"


class BodyTooLarge(RequestRefused):
    """A body over the limit."""

    http_status = 413
    code = "too_large"


class UnsupportedEncoding(RequestRefused):
    """A body that is compressed."""

    http_status = 415
    code = "unsupported_encoding"


class BodyInvalid(RequestRefused):
    """A body of the wrong shape: the message names each field and what would be right."""

    http_status = 422
    code = "invalid_request"


class ReloadRefused(RequestRefused):
    """A configuration that cannot be used: the message names everything that is wrong with it."""

    http_status = 422
    code = "invalid_configuration"


class TooManyRequests(RequestRefused):
    """More requests than the key may make in a second or at once, or too many wrong keys from one address."""

    http_status = 429
    code = "rate_limited"
    retry_after_seconds = 1


class NotReady(RequestRefused):
    """No new call can be taken: the message says why."""

    http_status = 503
    code = "unavailable"
