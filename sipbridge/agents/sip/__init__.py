"""The agent on a SIP URI."""

from sipbridge.agents.sip.agent import SipAgent

__all__ = ["SipAgent"]
