"""Every error that sipbridge raises on purpose.

    SipbridgeError
    ├── ConfigError                  a configuration that cannot be used
    ├── StartupError                 an address in use, a limit of the build, a store that cannot be opened
    ├── InviteRefused                a new INVITE that gets no call      SIP    metric reason
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
    │   └── AgentUnavailable                                             480    agent_unavailable
    ├── RequestRefused               an HTTP request                     HTTP   code
    │   ├── BadRequest                                                   400    invalid_request
    │   ├── InvalidApiKey                                            401    invalid_api_key
    │   ├── KeyOfAnotherProject                                          403    wrong_project
    │   ├── NotFound                                                     404    not_found
    │   ├── HandoffConflict                                              409    conflict
    │   └── HandoffInvalid                                               422    invalid_handoff
    ├── LegGone                      the far end of a leg hung up while we wanted something of it
    ├── DialFailed                   an outgoing leg that was not answered
    ├── NameNotResolved              a host's name that has no address, or whose lookup takes too long
    ├── AgentLost                    an agent that is gone, or is silent for too long, in mid-call
    ├── StoreError                   a record that could not be written or read
    └── CxoneError                   CXone could not be asked, or answered what cannot be used
        └── CxoneNotReached          nothing was sent to it

The refusals that only the HTTP API knows (a link that has expired, a body too large) stand in `web.refusals`.

The reason is a short lower-case word that stands alike in metrics, logs and records; the message says what happened,
to what, and what to do about it. Neither holds a secret, a number or a parameter.
"""

from __future__ import annotations

from typing import ClassVar, Literal


class SipbridgeError(Exception):
    """Base of all of them."""

    @property
    def problems(self) -> list[str]:
        """One line per fault."""
        return [str(self)]


class ConfigError(SipbridgeError):
    """A configuration that cannot be used.

    `problems` holds one line per fault, each with the file, the key path, what is wrong and what would be right.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self._problems = problems

    @property
    def problems(self) -> list[str]:
        """One line per fault."""
        return self._problems


class StartupError(SipbridgeError):
    """The program cannot start, or a part of it cannot."""


class InviteRefused(SipbridgeError):
    """A new INVITE gets this final response and no call is made of it.

    `client` and `project` are those that it was for, as far as they were known by then.
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
    """The bridge finishes the calls it has and takes no more."""

    sip_status = 503
    reason = "draining"
    retry_after_seconds = 30


class CapacityReached(InviteRefused):
    """`sip.max_calls` calls are up."""

    sip_status = 503
    reason = "capacity"
    retry_after_seconds = 5


class MalformedInvite(InviteRefused):
    """SIP that a parser accepts and we cannot act on; the message says what is wrong with it."""

    sip_status = 400
    reason = "malformed"


class UnsupportedUri(MalformedInvite):
    """The Request-URI is of a scheme that is not served (RFC 3261, 8.2.2.1)."""

    sip_status = 416


class UnsupportedVersion(MalformedInvite):
    """An INVITE of another version of SIP (RFC 3261, 21.5.6)."""

    sip_status = 505


class MessageTooLarge(InviteRefused):
    """An INVITE over a connection that is longer than SIP has to take (RFC 3261, 18.1.1)."""

    sip_status = 513
    reason = "too_large"


def malformed_refusal(sip_status: int, message: str) -> InviteRefused:
    """Return the error for an INVITE that cannot be acted on, by the status that says so."""
    for kind in (UnsupportedUri, UnsupportedVersion, MessageTooLarge):
        if kind.sip_status == sip_status:
            return kind(message)
    return MalformedInvite(message)


class UnknownNumber(InviteRefused):
    """The dialled number is no client's pseudo number."""

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


# What programs may go by, of an HTTP error; docs/http-api.md lists them.
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


class RequestRefused(SipbridgeError):
    """An HTTP request gets this status and `{"error_message", "code"}` with the message.

    `summary` is for the log if the message names keys of the request, which may be anything.
    """

    http_status: ClassVar[int]
    code: ClassVar[ErrorCode]

    def __init__(self, message: str, summary: str = "") -> None:
        super().__init__(message)
        self.summary = summary or message


class BadRequest(RequestRefused):
    """Something of the request is missing or cannot be read."""

    http_status = 400
    code = "invalid_request"


class InvalidApiKey(RequestRefused):
    """No `x-api-key`, or one that no project has."""

    http_status = 401
    code = "invalid_api_key"


class KeyOfAnotherProject(RequestRefused):
    """A good key, for another project than the path names."""

    http_status = 403
    code = "wrong_project"


class NotFound(RequestRefused):
    """No such call, handoff or path."""

    http_status = 404
    code = "not_found"


class HandoffConflict(RequestRefused):
    """The call is already handed off, or has ended."""

    http_status = 409
    code = "conflict"


class HandoffInvalid(RequestRefused):
    """A handoff that cannot be carried out as asked: the message says which part."""

    http_status = 422
    code = "invalid_handoff"


class LegGone(SipbridgeError):
    """The far end of a leg hung up, or the leg never came to be."""


class DialFailed(SipbridgeError):
    """An outgoing leg was not answered.

    `sip_status` is the final response, 408 where none came in time; `contacts` are the URIs to which a 3xx points, best
    first.
    """

    def __init__(self, sip_status: int, message: str, contacts: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.sip_status = sip_status
        self.contacts = contacts


class NameNotResolved(SipbridgeError):
    """A host's name has no address, or its lookup takes too long."""


class AgentLost(SipbridgeError):
    """The agent went in mid-call without a word, or gives no sign of life."""


class StoreError(SipbridgeError):
    """The store could not write or read a record."""


class CxoneError(SipbridgeError):
    """CXone could not be asked, or its answer cannot be used."""


class CxoneNotReached(CxoneError):
    """No connection (no address, TCP or TLS failed, none was free), so that no byte of the request went out."""
