"""What is said to a caller just before the transfer, made from text by a command of the operator's."""

from sipbridge.speech.speaker import CommandSpeaker, Limits

__all__ = ["CommandSpeaker", "Limits"]
