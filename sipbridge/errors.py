"""The errors that sipbridge raises on purpose.

    SipbridgeError
    ├── ConfigError                  a configuration that cannot be used
    ├── SetupError                   files of a first configuration that exist, or that cannot be written
    ├── StartupError                 an address in use, a limit of the build, a store that cannot be opened
    ├── InviteRefused                a new INVITE that is rejected        SIP    metric reason
    │   ├── UntrustedSource                                              403    untrusted_source
    │   ├── RateExceeded                                                 503    rate_exceeded
    │   ├── Draining                                                     503    draining
    │   ├── CapacityReached                                              503    capacity
    │   ├── MalformedInvite                                              400    malformed
    │   │   ├── UnsupportedUri                                           416    malformed
    │   │   └── UnsupportedVersion                                       505    malformed
    │   ├── MessageTooLarge                                              513    too_large
    │   ├── UnknownNumber                                                404    unknown_number
    │   ├── TokenRefused                                                 403    token_refused
    │   ├── BadContactId                                                 400    bad_contact_id
    │   ├── AgentUnavailable                                             480    agent_unavailable
    │   └── NodeTakenOver                                                503    taken_over
    ├── RequestRefused               an HTTP request                     HTTP   code
    │   ├── BadRequest                                                   400    invalid_request
    │   ├── InvalidApiKey                                            401    invalid_api_key
    │   ├── KeyOfAnotherProject                                          403    wrong_project
    │   ├── NotFound                                                     404    not_found
    │   ├── HandoffConflict                                              409    conflict
    │   ├── ChatConflict                                                 409    conflict
    │   ├── ChatsUnavailable                                             503    unavailable
    │   └── HandoffInvalid                                               422    invalid_handoff
    ├── LegEnded                     a leg that ended while a command for it was in progress
    ├── DialFailed                   an outgoing leg that was not answered
    ├── NameNotResolved              a host name that has no address, or whose lookup takes too long
    ├── AgentLost                    an agent that disconnected during a call, or is silent for too long
    ├── ChannelRefused               a digital channel that refuses a chat for good
    ├── StoreError                   a record that could not be written or read
    ├── AttachmentError              an attachment of the bot that cannot be fetched
    └── HttpError                    a request of ours without a response, or with one that cannot be used
        ├── HttpNotReached           nothing was sent
        │   ├── HttpForbidden        nothing was sent, since the URL or the address must not be called
        │   └── HttpWithheld         nothing was sent, since another node may do this instead
        ├── ResponseTooLarge         a body over the limit of the request
        └── CxoneError               a response of CXone that cannot be used

Errors that only the HTTP API raises (an expired link, a body that is too large) are in `web.server.errors`.

The reason is a short lower-case word, the same in metrics, logs and records. The message says what happened, to what,
and what to do about it. Neither contains a secret, a number or a parameter.
"""

from __future__ import annotations

from typing import ClassVar, Literal


class SipbridgeError(Exception):
    """The base of all errors."""

    @property
    def problems(self) -> list[str]:
        """One line per problem."""
        return [str(self)]


class ConfigError(SipbridgeError):
    """A configuration that cannot be used.

    `problems` holds one line per problem, each with the file, the key path, what is wrong and what would be right.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self._problems = problems

    @property
    def problems(self) -> list[str]:
        """One line per problem."""
        return self._problems


class SetupError(SipbridgeError):
    """A first configuration cannot be written."""


class StartupError(SipbridgeError):
    """The program cannot start, or a part of it cannot."""


class InviteRefused(SipbridgeError):
    """A new INVITE is rejected with this final response.

    `client` and `project` are those that it was for, as far as they are known.
    """

    sip_status: ClassVar[int]
    reason: ClassVar[str]
    retry_after_seconds: ClassVar[int | None] = None
    client = ""
    project = ""


class UntrustedSource(InviteRefused):
    """The request came from outside `sip.trusted_sources`."""

    sip_status = 403
    reason = "untrusted_source"


class RateExceeded(InviteRefused):
    """The source sent more than `sip.max_calls_per_second`."""

    sip_status = 503
    reason = "rate_exceeded"
    retry_after_seconds = 1


class Draining(InviteRefused):
    """The bridge takes no new calls and lets those in progress end."""

    sip_status = 503
    reason = "draining"
    retry_after_seconds = 30


class CapacityReached(InviteRefused):
    """All call slots are in use, or resources for another call are missing."""

    sip_status = 503
    reason = "capacity"
    retry_after_seconds = 5


class MalformedInvite(InviteRefused):
    """SIP that the parser accepts but the bridge cannot act on. The message says what is wrong."""

    sip_status = 400
    reason = "malformed"


class UnsupportedUri(MalformedInvite):
    """The scheme of the Request-URI is not supported (RFC 3261, 8.2.2.1)."""

    sip_status = 416


class UnsupportedVersion(MalformedInvite):
    """An INVITE of another version of SIP (RFC 3261, 21.5.6)."""

    sip_status = 505


class MessageTooLarge(InviteRefused):
    """An INVITE over a connection that is longer than SIP requires us to accept (RFC 3261, 18.1.1)."""

    sip_status = 513
    reason = "too_large"


def malformed_refusal(sip_status: int, message: str) -> InviteRefused:
    """Return the error for an INVITE that the bridge cannot act on, by its status."""
    for kind in (UnsupportedUri, UnsupportedVersion, MessageTooLarge):
        if kind.sip_status == sip_status:
            return kind(message)
    return MalformedInvite(message)


class UnknownNumber(InviteRefused):
    """The dialled number is not the pseudo number of a client."""

    sip_status = 404
    reason = "unknown_number"


class TokenRefused(InviteRefused):
    """The token is missing, or no project of the client has it."""

    sip_status = 403
    reason = "token_refused"


class BadContactId(InviteRefused):
    """The contact id is missing or is not 1 to 32 letters, digits or hyphens."""

    sip_status = 400
    reason = "bad_contact_id"


class AgentUnavailable(InviteRefused):
    """The agent was not reached and the project says `on_agent_failure: reject`."""

    sip_status = 480
    reason = "agent_unavailable"


# The codes of HTTP errors, which programs may rely on; docs/http-api.md lists them.
ErrorCode = Literal[
    "admin_not_local",
    "conflict",
    "internal_error",
    "invalid_api_key",
    "invalid_configuration",
    "invalid_handoff",
    "invalid_json",
    "invalid_link",
    "invalid_request",
    "invalid_token",
    "method_not_allowed",
    "not_found",
    "rate_limited",
    "request_timeout",
    "store_unavailable",
    "too_large",
    "unavailable",
    "unsupported_encoding",
    "wrong_project",
]


class NodeTakenOver(InviteRefused):
    """Another node has just taken over the calls of this one, and does not know this one. Seconds later it is ready."""

    sip_status = 503
    reason = "taken_over"
    retry_after_seconds = 5


class RequestRefused(SipbridgeError):
    """An HTTP request is refused with this status and a body of `error_message`, the message, and `code`.

    `summary` is the text for the log if the message quotes keys of the request, which can be anything.
    """

    http_status: ClassVar[int]
    code: ClassVar[ErrorCode]
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, message: str, summary: str = "") -> None:
        super().__init__(message)
        self.summary = summary or message


class BadRequest(RequestRefused):
    """A part of the request is missing or cannot be read."""

    http_status = 400
    code = "invalid_request"


class InvalidApiKey(RequestRefused):
    """The request has no `x-api-key`, or one that no project has."""

    http_status = 401
    code = "invalid_api_key"


class KeyOfAnotherProject(RequestRefused):
    """The key is valid, but for another project than the path names."""

    http_status = 403
    code = "wrong_project"


class NotFound(RequestRefused):
    """There is no such call, handoff or path."""

    http_status = 404
    code = "not_found"


class HandoffConflict(RequestRefused):
    """The call has already been handed off, or has ended."""

    http_status = 409
    code = "conflict"


class ChatConflict(RequestRefused):
    """The chat has ended, or its id or that of a message was used for another request."""

    http_status = 409
    code = "conflict"


class ChatsUnavailable(RequestRefused):
    """The bridge cannot take this now: it drains, chats are resumed, or as many chats or messages wait as may."""

    http_status = 503
    code = "unavailable"
    retry_after_seconds = 1


class HandoffInvalid(RequestRefused):
    """The handoff cannot be carried out as requested. The message says why."""

    http_status = 422
    code = "invalid_handoff"


class LegEnded(SipbridgeError):
    """The leg has ended, or was never established."""


class DialFailed(SipbridgeError):
    """An outgoing leg was not answered.

    `sip_status` is the final response, or 408 if none came in time. `contacts` are the URIs of a 3xx, best first, and
    `target` sent it.
    """

    def __init__(self, sip_status: int, message: str, contacts: tuple[str, ...] = (), target: str = "") -> None:
        super().__init__(message)
        self.sip_status = sip_status
        self.contacts = contacts
        self.target = target


class NameNotResolved(SipbridgeError):
    """A host name has no address, or its lookup takes too long."""


class AgentLost(SipbridgeError):
    """The agent disconnected during a call without a reason, or is silent for too long."""


class ChannelRefused(SipbridgeError):
    """The contact centre refuses a chat for good. `reason` is a short lower-case word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreError(SipbridgeError):
    """The store could not write or read a record."""


class StoreSilent(StoreError):
    """The store has not responded in time, or not yet: it may in a moment."""


class NotStorable(StoreError):
    """The store can never write this: its text or its values cannot be encoded."""


class CallTakenOver(StoreError):
    """The record is that of another node, which has taken the call over."""


class AttachmentError(SipbridgeError):
    """An attachment of the bot cannot be fetched. `reason` is a short lower-case word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HttpError(SipbridgeError):
    """The server did not respond, or its response cannot be used. It may have received the request."""


class HttpNotReached(HttpError):
    """No byte of the request was sent: there is no address, TCP or TLS failed, or no connection was free."""


class HttpForbidden(HttpNotReached):
    """No byte of the request was sent, since the URL is not safe, or none of its addresses."""


class HttpWithheld(HttpNotReached):
    """No byte of the request was sent, since another node may have what it is for."""


class ResponseTooLarge(HttpError):
    """The body of the response is over the limit of the request."""


class CxoneError(HttpError):
    """A response of CXone cannot be used."""


class CxoneRefused(CxoneError):
    """CXone refused a request. `retry_after` is the pause in seconds that it asks for, 0 for none."""

    def __init__(self, status: int, retry_after: float = 0.0) -> None:
        super().__init__(f"CXone responded with {status}")
        self.status = status
        self.retry_after = retry_after

    @property
    def is_temporary(self) -> bool:
        """True if the same request may succeed later."""
        return self.status == 429 or self.status >= 500  # noqa: PLR2004 (too many requests, errors of the server)
