"""Refusals that only HTTP knows, beside those of `sipbridge.errors`."""

from __future__ import annotations

from sipbridge.errors import RequestRefused


class LinkRefused(RequestRefused):
    """A pop link that has expired, or that we did not make."""

    http_status = 403


class CallStillUp(RequestRefused):
    """The call is still up: its record would be written again."""

    http_status = 409


class BodyTooLarge(RequestRefused):
    """A body over the limit."""

    http_status = 413


class BodyInvalid(RequestRefused):
    """A body of the wrong shape: the message names each field and what would be right."""

    http_status = 422


class NotReady(RequestRefused):
    """No new call can be taken: the message says why."""

    http_status = 503
