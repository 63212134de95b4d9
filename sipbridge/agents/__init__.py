"""The voice agents that talk to callers, each behind `calls.ports.Agent`."""

from sipbridge.agents.prompt import PromptAgent

__all__ = ["PromptAgent"]
