"""The gate in front of PJSUA: decides about every request outside a dialog, before a call is made of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.model import Invite
from sipbridge.calls.ports import Backpressure
from sipbridge.calls.readiness import Readiness
from sipbridge.errors import InviteRefused, MalformedInvite, MessageTooLarge, RateExceeded, UntrustedSource
from sipbridge.sip.messages import host_names, read_invite, read_request
from sipbridge.sip.offers import offers_codec

logger = logging.getLogger(__name__)

_BAD_REQUEST = 400
_BAD_EXTENSION = 420
_NOT_ACCEPTABLE_HERE = 488
# What an INVITE may require (RFC 3262, RFC 4028).
_EXTENSIONS = {"100rel", "timer"}
# What PJSUA refuses by itself: SDP that it cannot read, no codec in common, a session timer that is too short
# (RFC 4028, 6), an extension that it lacks or that the trunk does (RFC 3261, 21.4.15 and 21.4.16).
_REFUSED_BY_PJSUA = {
    400: "malformed",
    415: "malformed",
    420: "extension",
    421: "extension",
    422: "session_timer",
    488: "no_codec",
}


class Gate(pj.RequestGate):  # type: ignore[misc]
    """Runs on the SIP thread. An INVITE that was let in comes back by its ticket, as a call or turned down."""

    def __init__(
        self,
        admission: Admission,
        load: Backpressure,
        readiness: Readiness,
        codecs: Collection[str],
        rejected: Callable[[InviteAnswered], None],
        judge_refer: Callable[[int, pj.GateRequest], None],
        name_expected: Callable[[str], None],
        hold_bye: Callable[[int, int], bool],
    ) -> None:
        super().__init__()
        self._admission = admission
        self._load = load
        self._readiness = readiness
        self._codecs = codecs
        self._rejected = rejected
        self._judge_refer = judge_refer
        self._name_expected = name_expected
        self._hold_bye = hold_bye
        # With the message: if PJSUA rejects it, the offer shows why.
        self._admitted: dict[int, tuple[Admitted, bytes]] = {}

    def onConnection(self, source: str) -> bool:  # noqa: N802 (called from C++)
        """Decide if a source may open a connection, or speak for a caller. An exception would end the process."""
        try:
            return self._admission.trusts(source)
        except Exception:
            logger.exception("a source could not be judged", extra={"event": "internal_error"})
            return False

    def onRequest(self, request: pj.GateRequest) -> None:  # noqa: N802 (called from C++)
        """Let a request in or refuse it."""
        try:
            self._judge(request)
        except Exception:
            logger.exception("a request could not be judged", extra={"event": "internal_error"})
            request.refuse(500, "")

    def onRefer(self, slot: int, request: pj.GateRequest) -> None:  # noqa: N802 (called from C++)
        """Let a REFER in a dialog be judged."""
        try:
            self._judge_refer(slot, request)
        except Exception:
            logger.exception("a REFER could not be judged", extra={"event": "internal_error"})
            request.refuse(500, "")

    def onBye(self, slot: int, ticket: int) -> bool:  # noqa: N802 (called from C++)
        """Have a caller's BYE held until its end is noted, or answered at once."""
        try:
            return self._hold_bye(slot, ticket)
        except Exception:
            logger.exception("a BYE could not be noted", extra={"event": "internal_error"})
            return False

    def take(self, ticket: int) -> Admitted | None:
        """The INVITE that was let in by this ticket."""
        admitted, _ = self._admitted.pop(ticket, (None, b""))
        return admitted

    def turned_down(self, ticket: int, sip_status: int) -> None:
        """PJSUA refused what we had let in."""
        admitted, message = self._admitted.pop(ticket, (None, b""))
        if admitted is None:
            return
        identity = admitted.identity
        self._admission.release(identity.call_id)
        self._rejected(
            InviteAnswered(
                sip_status,
                self._reason(sip_status, message),
                identity.sip_call_id,
                admitted.invite.source_address,
                client=identity.client,
                project=identity.project,
            )
        )

    def _reason(self, sip_status: int, message: bytes) -> str:
        """Say why PJSUA rejected what we had admitted."""
        if sip_status == _NOT_ACCEPTABLE_HERE and offers_codec(message, self._codecs):
            return "srtp_mismatch"
        return _REFUSED_BY_PJSUA.get(sip_status, "internal_error")

    def sweep(self) -> None:
        """Give back the places of those that PJSUA dropped without a word; after each turn's events."""
        for ticket in list(self._admitted):
            self.turned_down(ticket, 500)

    def _judge(self, request: pj.GateRequest) -> None:
        if request.method() == "INVITE":
            self._judge_invite(request)
        elif not self._admission.trusts(request.sourceAddress()):
            request.refuseStateless(403)
        elif fault := request.messageFault():
            request.refuse(fault, "")
            add_warning(request, request.messageFaultText())
        elif fault := request.methodFault():
            # PJSUA would take messages, subscriptions and registrations.
            request.refuse(fault, "")
        else:
            self._judge_options(request)

    def _judge_options(self, request: pj.GateRequest) -> None:
        read = read_request(request.message())
        unsupported = read.required - _EXTENSIONS
        if read.malformed is not None:
            request.refuse(_BAD_REQUEST, "")
            add_warning(request, read.malformed)
        elif unsupported:
            # RFC 3261, 8.2.2.3.
            request.refuse(_BAD_EXTENSION, "")
            request.addHeader("Unsupported", ", ".join(sorted(name for name in unsupported if name.isprintable())))
        elif (obstacle := self._readiness.obstacle()) is not None:
            # The response is the one that an INVITE would get (RFC 3261, 11.2).
            _reject(request, obstacle)

    def _judge_invite(self, request: pj.GateRequest) -> None:
        source, message = request.sourceAddress(), request.message()
        invite = read_invite(message, source, request.sourcePort(), request.transport())
        if fault := request.messageFault():
            invite = replace(invite, malformed=request.messageFaultText(), malformed_status=fault)
        try:
            self._admitted[request.ticket()] = (self._admission.admit(invite, self._load), message)
        except (UntrustedSource, RateExceeded) as refusal:
            # A transaction each, kept for 32 s, is what a flood would use up.
            self._refuse(request, invite, refusal, stateless=True)
        except InviteRefused as refusal:
            self._refuse(request, invite, refusal)
        else:
            # Where our own requests of this call will go (RFC 3261, 12.1.1).
            for name in host_names(invite.headers.getall("Contact", []) + invite.headers.getall("Record-Route", [])):
                self._name_expected(name)

    def _refuse(
        self, request: pj.GateRequest, invite: Invite, refusal: InviteRefused, *, stateless: bool = False
    ) -> None:
        _reject(request, refusal, stateless=stateless)
        if isinstance(refusal, MalformedInvite | MessageTooLarge):
            add_warning(request, str(refusal))
        self._rejected(
            InviteAnswered(
                refusal.sip_status,
                refusal.reason,
                invite.sip_call_id,
                invite.source_address,
                client=refusal.client,
                project=refusal.project,
            )
        )


def _reject(request: pj.GateRequest, refusal: InviteRefused, *, stateless: bool = False) -> None:
    if stateless:
        request.refuseStateless(refusal.sip_status)
    else:
        request.refuse(refusal.sip_status, "")
    if refusal.retry_after_seconds is not None:
        request.addHeader("Retry-After", str(refusal.retry_after_seconds))


def add_warning(request: pj.GateRequest, text: str) -> None:
    """Say in the refusal of a request what is wrong with it. `text` is ours, and holds nothing of the request."""
    # RFC 3261, 20.43: 399 is for a text that a person reads.
    request.addHeader("Warning", f'399 sipbridge "{text.replace(chr(34), chr(39))}"')
