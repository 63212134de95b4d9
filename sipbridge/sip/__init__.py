"""The PJSIP adapter. Only this package imports the native module, and only its SIP thread calls PJSIP."""
