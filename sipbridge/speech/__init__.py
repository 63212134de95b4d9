"""Speech synthesis by a command of the operator, for the utterance before a transfer."""

from sipbridge.speech.speaker import CommandSpeaker, Limits

__all__ = ["CommandSpeaker", "Limits"]
