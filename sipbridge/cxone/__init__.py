"""Talking to CXone: discovery, tokens, Signals and transcripts of one client."""

from sipbridge.cxone.centre import CxoneCentre
from sipbridge.cxone.http import open_session

__all__ = ["CxoneCentre", "open_session"]
