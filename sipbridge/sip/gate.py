"""The gate in front of PJSUA: it admits or rejects the requests from which PJSUA would make calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.model import Invite
from sipbridge.calls.ports.sip import Backpressure
from sipbridge.calls.readiness import Readiness
from sipbridge.dns import Peer
from sipbridge.errors import InviteRefused, MalformedInvite, MessageTooLarge, RateExceeded, UntrustedSource
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.messages import read_invite, read_request
from sipbridge.sip.offers import offers_audio
from sipbridge.sip.responses import add_warning
from sipbridge.telephony.sip_status import SipStatus
from sipbridge.telephony.sip_uri import host_names

logger = logging.getLogger(__name__)

# The extensions that an INVITE may require (RFC 3262, RFC 4028).
_EXTENSIONS = {"100rel", "timer"}
# What PJSUA rejects on its own: SDP that it cannot read, no common codec, a session timer that is too short
# (RFC 4028, 6), an extension that either side does not support (RFC 3261, 21.4.15 and 21.4.16).
_REJECTED_BY_PJSUA = {
    400: "malformed",
    415: "malformed",
    420: "extension",
    421: "extension",
    422: "session_timer",
    488: "no_codec",
}


class Gate(pj.RequestGate):
    """Decides about requests, on the SIP thread.

    An INVITE that it admitted comes back with its ticket: as a call (`claim`), or rejected by PJSUA.
    """

    def __init__(
        self,
        admission: Admission,
        load: Backpressure,
        readiness: Readiness,
        codecs: Collection[str],
        rejected: Callable[[InviteAnswered], None],
        dialogs: DialogTable,
        expect_name: Callable[[str, Peer], None],
    ) -> None:
        super().__init__()
        self._admission = admission
        self._load = load
        self._readiness = readiness
        self._codecs = codecs
        self._rejected = rejected
        self._dialogs = dialogs
        self._expect_name = expect_name
        # By ticket, with the message: if PJSUA rejects it, the offer shows why.
        self._admitted: dict[int, tuple[Admitted, bytes]] = {}

    def onConnection(self, source: str) -> bool:  # noqa: N802 (called from C++)
        """Return true if a source may open a connection or speak for a caller.

        An exception out of this method, or another that C++ calls, would end the process.
        """
        try:
            return self._admission.trusts(source)
        except Exception:
            logger.exception("deciding about a source failed", extra={"event": "internal_error"})
            return False

    def onRequest(self, request: pj.IncomingRequest) -> None:  # noqa: N802 (called from C++)
        """Admit or reject a request outside a dialog."""
        try:
            self._decide(request)
        except Exception:
            logger.exception("deciding about a request failed", extra={"event": "internal_error"})
            request.refuse(500, "")

    def onRefer(self, slot: int, request: pj.IncomingRequest) -> None:  # noqa: N802 (called from C++)
        """Accept or reject a REFER in a dialog."""
        try:
            self._dialogs.decide_refer(slot, request)
        except Exception:
            logger.exception("deciding about a REFER failed", extra={"event": "internal_error"})
            request.refuse(500, "")

    def onBye(self, slot: int, ticket: int) -> bool:  # noqa: N802 (called from C++)
        """Return true if a caller's BYE is to be held until the end of the call has been noted."""
        try:
            return self._dialogs.holds_bye(slot, ticket)
        except Exception:
            logger.exception("noting a BYE failed", extra={"event": "internal_error"})
            return False

    def claim(self, ticket: int) -> Admitted | None:
        """Return the INVITE that was admitted with this ticket, once."""
        admitted, _ = self._admitted.pop(ticket, (None, b""))
        return admitted

    def rejected_by_pjsua(self, ticket: int, sip_status: int) -> None:
        """Release an INVITE that was admitted, and that PJSUA rejected; report the rejection."""
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
        """Return the reason word for PJSUA's rejection of an INVITE."""
        if sip_status == SipStatus.NOT_ACCEPTABLE_HERE and offers_audio(message, self._codecs):
            return "srtp_mismatch"
        return _REJECTED_BY_PJSUA.get(sip_status, "internal_error")

    def release_unclaimed(self) -> None:
        """Release the INVITEs that PJSUA dropped without an event. To be called after the events of each turn."""
        for ticket in list(self._admitted):
            self.rejected_by_pjsua(ticket, 500)

    def _decide(self, request: pj.IncomingRequest) -> None:
        if request.method() == "INVITE":
            self._decide_invite(request)
        elif not self._admission.trusts(request.sourceAddress()):
            request.refuseStateless(403)
        elif fault := request.messageFault():
            request.refuse(fault, "")
            add_warning(request, request.messageFaultText())
        elif fault := request.methodFault():
            # PJSUA would serve MESSAGE, SUBSCRIBE and REGISTER.
            request.refuse(fault, "")
        else:
            self._decide_options(request)

    def _decide_options(self, request: pj.IncomingRequest) -> None:
        read = read_request(request.message())
        unsupported = read.required - _EXTENSIONS
        if read.malformed is not None:
            request.refuse(SipStatus.BAD_REQUEST, "")
            add_warning(request, read.malformed)
        elif unsupported:
            # RFC 3261, 8.2.2.3.
            request.refuse(SipStatus.BAD_EXTENSION, "")
            request.addHeader("Unsupported", ", ".join(sorted(name for name in unsupported if name.isprintable())))
        elif (obstacle := self._readiness.obstacle()) is not None:
            # The response is the one that an INVITE would get (RFC 3261, 11.2).
            _reject(request, obstacle)

    def _decide_invite(self, request: pj.IncomingRequest) -> None:
        source, message = request.sourceAddress(), request.message()
        invite = read_invite(message, source, request.sourcePort(), request.transport())
        if fault := request.messageFault():
            invite = replace(invite, malformed=request.messageFaultText(), malformed_status=fault)
        try:
            self._admitted[request.ticket()] = (self._admission.admit(invite, self._load), message)
        except (UntrustedSource, RateExceeded) as refusal:
            # A flood would use up the transactions, which are kept for 32 s each.
            self._reject_invite(request, invite, refusal, stateless=True)
        except InviteRefused as refusal:
            self._reject_invite(request, invite, refusal)
        else:
            # The hosts that our requests in this dialog will go to (RFC 3261, 12.1.1).
            for name in host_names(invite.headers.getall("Contact", []) + invite.headers.getall("Record-Route", [])):
                self._expect_name(name, Peer(source, invite.sip_call_id))

    def _reject_invite(
        self, request: pj.IncomingRequest, invite: Invite, refusal: InviteRefused, *, stateless: bool = False
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


def _reject(request: pj.IncomingRequest, refusal: InviteRefused, *, stateless: bool = False) -> None:
    if stateless:
        request.refuseStateless(refusal.sip_status)
    else:
        request.refuse(refusal.sip_status, "")
    if refusal.retry_after_seconds is not None:
        request.addHeader("Retry-After", str(refusal.retry_after_seconds))
