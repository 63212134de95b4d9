"""The PJSIP adapter. Nothing outside this package imports pjsua2, and inside it only the SIP thread touches it."""
