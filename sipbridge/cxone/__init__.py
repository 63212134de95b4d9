"""Talking to CXone: discovery, tokens, Signals and transcripts of one client."""

from sipbridge.cxone.centre import CxoneCentre
from sipbridge.cxone.http import HttpClient

__all__ = ["CxoneCentre", "HttpClient"]
