"""Requests to CXone: discovery, tokens, Signals and transcripts of one client."""

from sipbridge.cxone.client import CxoneClient
from sipbridge.cxone.http.client import HttpClient

__all__ = ["CxoneClient", "HttpClient"]
