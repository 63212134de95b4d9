"""A caller from CXone's trunk: one call with SIP and RTP, in plain Python. It shares nothing with the bridge."""
