"""The PJSIP adapter: the one package that imports `sipbridge_pjsip`; only the SIP thread touches it."""
