"""Requests to CXone: discovery, tokens, Signals and transcripts of one client."""

from sipbridge.cxone.client import CxoneClient

__all__ = ["CxoneClient"]
