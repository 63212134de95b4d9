"""The responses to an INVITE that are not 200."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sipbridge import errors
from sipbridge.calls.endings import (
    CANCELLED,
    HUNG_UP_BY_API,
    INTERNAL_ERROR,
)
from tests.calls.handoff_rows.cells import code


class Rejection(NamedTuple):
    """Errors that reject an INVITE, with one reason; their cause and remedy."""

    errors: Sequence[type[errors.InviteRefused]]
    cause: str
    remedy: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        first = self.errors[0]
        response = ", ".join(str(error.sip_status) for error in self.errors)
        if first.retry_after_seconds is not None:
            response += f", Retry-After {first.retry_after_seconds}"
        elif issubclass(first, errors.MalformedInvite | errors.MessageTooLarge):
            response += " with Warning"
        return [response, code(first.reason), self.cause, self.remedy]


class OtherResponse(NamedTuple):
    """A final response that the SIP stack or the end of the call determines."""

    status: int
    reason: str
    cause: str
    remedy: str

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [str(self.status), code(self.reason), self.cause, self.remedy]


RESPONSES = (
    Rejection(
        (errors.UntrustedSource,),
        "the sender is not in `sip.trusted_sources`",
        "if it is NICE's (`source` in the log), add its network",
    ),
    Rejection(
        (errors.RateExceeded,),
        "the sender exceeds `sip.max_calls_per_second`",
        "raise the limit if the calls are real; the bucket holds one second's worth",
    ),
    Rejection(
        (errors.Draining,),
        "the bridge is stopping",
        "nothing; send calls to another bridge until this one is back",
    ),
    Rejection(
        (errors.CapacityReached,),
        (
            "`sip.max_calls` calls are in progress; or calls in progress have to wait, because more arrive than "
            "this machine carries; or no two RTP ports are free; or the remaining file descriptors are reserved for"
            " calls in progress. The log reports the last two as `resources_exhausted`"
        ),
        "see [sizes](operations.md#sizes)",
    ),
    Rejection(
        (errors.MalformedInvite,),
        (
            "two tokens or contact ids that differ; a token or contact id over 256 bytes; a body shorter than "
            "Content-Length; no blank line after the headers; several Content-Length headers, or none over TCP and "
            "TLS; a required header that cannot be read; a line that is not a header. The Warning says which"
        ),
        "check if SIPPUTHEADER runs twice for one header, and if a UDP message was truncated on its way (use TCP)",
    ),
    Rejection(
        (errors.UnsupportedUri, errors.UnsupportedVersion),
        "the Request-URI has another scheme than `sip`, `sips` and `tel`; the version is not SIP/2.0",
        "dial a SIP URI",
    ),
    Rejection(
        (errors.MessageTooLarge,),
        "a message of more than 65,535 bytes over TCP or TLS",
        "shorten the headers",
    ),
    Rejection(
        (errors.UnknownNumber,),
        "neither the Request-URI nor To has a pseudo number of a client",
        "run `sipbridge route-test`; `pseudo_numbers` must have the number that PLACECALL dials",
    ),
    Rejection(
        (errors.TokenRefused,),
        "no token, or no project of that client has it",
        "check the script's `X-Auth-Token`, and that **X- headers are enabled on the trunk group**; run `route-test`",
    ),
    Rejection(
        (errors.BadContactId,),
        "the contact id is missing, is the placeholder `100000000000`, or is not 1 to 32 letters, digits or hyphens",
        "check the script's `X-InContact-ContactId`, or `headers.contact_id` of the project",
    ),
    OtherResponse(
        488,
        "no_codec",
        "no audio line with a port, over RTP, with a codec in common",
        "make the trunk offer one of `sip.codecs` (G.711)",
    ),
    OtherResponse(
        488,
        "srtp_mismatch",
        (
            "a codec in common, but no SRTP although it is mandatory, keys that cannot be served, or SRTP although "
            "it is disabled"
        ),
        "make `sip.srtp` and the trunk agree ([configuration.md](configuration.md#srtp))",
    ),
    Rejection(
        (errors.AgentUnavailable,),
        "the agent was not reached and the project has `on_agent_failure: reject`",
        "read the reason in the log line `no agent`",
    ),
    OtherResponse(
        480,
        HUNG_UP_BY_API.reason,
        "`POST calls/{call_id}/hangup` while the caller heard ringing",
        "nothing",
    ),
    Rejection(
        (errors.NodeTakenOver,),
        "another node has just taken over the calls of this one, which takes new ones again within seconds",
        "nothing: Kamailio tries another node",
    ),
    OtherResponse(
        487,
        CANCELLED.reason,
        "the caller or the script gave up before our final response",
        "nothing",
    ),
    OtherResponse(
        500,
        INTERNAL_ERROR.reason,
        "a fault of the bridge or of PJSIP",
        "report the traceback in the log line `internal_error`",
    ),
)
