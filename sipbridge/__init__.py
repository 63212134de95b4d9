"""A SIP voice handoff bridge between NICE CXone and voice-AI agents."""

from importlib.metadata import version

__version__ = version("sipbridge")
