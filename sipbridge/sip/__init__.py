"""The PJSIP adapter. Nothing outside this package imports pjsua2, and inside it only the SIP thread touches it."""

from sipbridge.sip.trunk import SipTrunk, pjsip_version

__all__ = ["SipTrunk", "pjsip_version"]
